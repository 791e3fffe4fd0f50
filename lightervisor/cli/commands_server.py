"""Declares the commands of `server`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command("alias", summary="Manage command aliases"),
    Command("alias add", "<alias> <target>", "alias:add", "Add new aliases", least=2, most=2),
    Command(
        "alias list",
        "",
        "alias:listing",
        "List aliases",
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command("alias remove", "<alias>", "alias:remove", "Remove aliases", least=1, most=1, aliases=("rm",)),
    Command(
        "alias rename", "<old alias> <new alias>", "alias:rename", "Rename aliases", least=2, most=2, aliases=("mv",)
    ),
    Command(
        "completion",
        "<shell>",
        "completion:run",
        "Print a script that completes commands and names in a shell",
        least=1,
        most=1,
        long="""Print a script that completes commands and names in a shell

The shells are bash, zsh and fish. "make install" puts the scripts where the shells find them.""",
        examples="""lxc completion bash > ~/.local/share/bash-completion/completions/lxc
    Complete in every new bash with bash-completion.

source <(lxc completion zsh)
    Complete in this zsh.

lxc completion fish > ~/.config/fish/completions/lxc.fish
    Complete in every new fish.""",
    ),
    Command(
        "manpage",
        "<target>",
        "manpage:run",
        "Generate manpages for all commands",
        least=1,
        most=1,
        flags=(Flag("format", "f", "text", default="man", help="Format (man|md|rest|yaml)"),),
    ),
    Command(
        "monitor",
        "[<remote>:]",
        "monitor:run",
        "Monitor a local or remote LXD server",
        most=1,
        flags=(
            Flag("all-projects", help="Show events from all projects"),
            Flag("format", "f", "text", default="yaml", help="Format (json|pretty|yaml)"),
            Flag(
                "loglevel", "", "text", help="Minimum level for log messages (only available when using pretty format)"
            ),
            Flag("pretty", help="Pretty rendering (short for --format=pretty)"),
            Flag("type", "", "many", help="Event type to listen for"),
        ),
    ),
    Command("operation", summary="List, show and delete background operations"),
    Command(
        "operation delete",
        "[<remote>:]<operation>",
        "operation:delete",
        "Delete a background operation (will attempt to cancel)",
        least=1,
        most=1,
        aliases=(
            "cancel",
            "rm",
        ),
    ),
    Command(
        "operation list",
        "[<remote>:]",
        "operation:listing",
        "List background operations",
        most=1,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "operation show",
        "[<remote>:]<operation>",
        "operation:show",
        "Show details on a background operation",
        least=1,
        most=1,
    ),
    Command(
        "query",
        "[<remote>:]<API path>",
        "query:run",
        "Send a raw query to LXD",
        least=1,
        most=1,
        flags=(
            Flag("data", "d", "text", help="Input data"),
            Flag("raw", help="Print the raw response"),
            Flag("request", "X", "text", default="GET", help="Action (defaults to GET)"),
            Flag("wait", help="Wait for the operation to complete"),
        ),
    ),
    Command("version", "[<remote>:]", "version:run", "Show local and remote versions", most=1),
    Command("warning", summary="Manage warnings"),
    Command(
        "warning acknowledge",
        "[<remote>:]<warning-uuid>",
        "warning:acknowledge",
        "Acknowledge warning",
        least=1,
        most=1,
        aliases=("ack",),
    ),
    Command(
        "warning delete",
        "[<remote>:]<warning-uuid>",
        "warning:delete",
        "Delete warning",
        most=1,
        aliases=("rm",),
        flags=(Flag("all", "a", help="Delete all warnings"),),
    ),
    Command(
        "warning list",
        "[<remote>:]",
        "warning:listing",
        "List warnings",
        most=1,
        aliases=("ls",),
        flags=(
            Flag("all", "a", help="List all warnings"),
            Flag("columns", "c", "text", default="utSscpLl", help="Columns"),
            Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),
        ),
    ),
    Command("warning show", "[<remote>:]<warning-uuid>", "warning:show", "Show warning", least=1, most=1),
)
