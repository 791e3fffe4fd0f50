"""Declares the commands of `storage`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command("storage", summary="Manage storage pools and volumes"),
    Command(
        "storage create",
        "[<remote>:]<pool> <driver> [key=value...]",
        "storage:create",
        "Create storage pools",
        least=2,
        most=None,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
    Command(
        "storage delete",
        "[<remote>:]<pool>",
        "storage:delete",
        "Delete storage pools",
        least=1,
        most=1,
        aliases=("rm",),
    ),
    Command(
        "storage edit", "[<remote>:]<pool>", "storage:edit", "Edit storage pool configurations as YAML", least=1, most=1
    ),
    Command(
        "storage get",
        "[<remote>:]<pool> <key>",
        "storage:get",
        "Get values for storage pool configuration keys",
        least=2,
        most=2,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
    Command(
        "storage info",
        "[<remote>:]<pool>",
        "storage:info",
        "Show useful information about storage pools",
        least=1,
        most=1,
        flags=(
            Flag("bytes", help="Show the used and free space in bytes"),
            Flag("target", "", "text", help="Cluster member name"),
        ),
    ),
    Command(
        "storage list",
        "[<remote>:]",
        "storage:listing",
        "List available storage pools",
        most=1,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "storage set",
        "[<remote>:]<pool> <key> <value>",
        "storage:set_",
        "Set storage pool configuration keys",
        least=3,
        most=3,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
    Command(
        "storage show",
        "[<remote>:]<pool>",
        "storage:show",
        "Show storage pool configurations and resources",
        least=1,
        most=1,
        flags=(
            Flag("resources", help="Show the resources available to the storage pool"),
            Flag("target", "", "text", help="Cluster member name"),
        ),
    ),
    Command(
        "storage unset",
        "[<remote>:]<pool> <key>",
        "storage:unset",
        "Unset storage pool configuration keys",
        least=2,
        most=2,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
)
