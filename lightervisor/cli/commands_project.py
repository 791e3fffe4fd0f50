"""Declares the commands of `project`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command("project", summary="Manage projects"),
    Command(
        "project create",
        "[<remote>:]<project>",
        "project:create",
        "Create projects",
        least=1,
        most=1,
        flags=(Flag("config", "c", "many", help="Config key/value to apply to the new project"),),
    ),
    Command(
        "project delete", "[<remote>:]<project>", "project:delete", "Delete projects", least=1, most=1, aliases=("rm",)
    ),
    Command(
        "project edit", "[<remote>:]<project>", "project:edit", "Edit project configurations as YAML", least=1, most=1
    ),
    Command(
        "project get",
        "[<remote>:]<project> <key>",
        "project:get",
        "Get values for project configuration keys",
        least=2,
        most=2,
    ),
    Command(
        "project info",
        "[<remote>:]<project> <key>",
        "project:info",
        "Get a summary of resource allocations",
        least=2,
        most=2,
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "project list",
        "[<remote>:]",
        "project:listing",
        "List projects",
        most=1,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "project rename",
        "[<remote>:]<project> <new-name>",
        "project:rename",
        "Rename projects",
        least=2,
        most=2,
        aliases=("mv",),
    ),
    Command(
        "project set",
        "[<remote>:]<project> <key>=<value>...",
        "project:set_",
        "Set project configuration keys",
        least=2,
        most=None,
    ),
    Command("project show", "[<remote>:]<project>", "project:show", "Show project options", least=1, most=1),
    Command("project switch", "[<remote>:]<project>", "project:switch", "Switch the current project", least=1, most=1),
    Command(
        "project unset",
        "[<remote>:]<project> <key>",
        "project:unset",
        "Unset project configuration keys",
        least=2,
        most=2,
    ),
)
