"""Declares the commands of `config`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command("config", summary="Manage instance and server configuration options"),
    Command(
        "config edit",
        "[<remote>:][<instance>[/<snapshot>]]",
        "config_values:edit",
        "Edit instance or server configurations as YAML",
        most=1,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
    Command(
        "config get",
        "[<remote>:][<instance>] <key>",
        "config_values:get",
        "Get values for instance or server configuration keys",
        least=1,
        most=2,
        flags=(
            Flag("expanded", "e", help="Access the expanded configuration"),
            Flag("target", "", "text", help="Cluster member name"),
        ),
    ),
    Command(
        "config set",
        "[<remote>:][<instance>] <key>=<value>...",
        "config_values:set_",
        "Set instance or server configuration keys",
        least=1,
        most=None,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
    Command(
        "config show",
        "[<remote>:][<instance>[/<snapshot>]]",
        "config_values:show",
        "Show instance or server configurations",
        most=1,
        flags=(
            Flag("expanded", "e", help="Show the expanded configuration"),
            Flag("target", "", "text", help="Cluster member name"),
        ),
    ),
    Command(
        "config unset",
        "[<remote>:][<instance>] <key>",
        "config_values:unset",
        "Unset instance or server configuration keys",
        least=1,
        most=2,
        flags=(Flag("target", "", "text", help="Cluster member name"),),
    ),
)
