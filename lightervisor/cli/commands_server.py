"""Declares the commands of `server`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command("alias", summary="Manage command aliases"),
    Command(
        "alias add",
        "<alias> <target>",
        "alias:add",
        "Add new aliases",
        least=2,
        most=2,
        long="""Add new aliases

In the target @ARGS@ stands for what is typed behind the alias, and @ARG1@ for the first word of it. Without
them it goes to the end. A command of the same name comes before an alias.""",
        examples="""lxc alias add ll "list -c ns4"
    "lxc ll" lists names, states and addresses.

lxc alias add enter "exec @ARGS@ -- bash -l"
    "lxc enter c1" is a shell in c1.""",
    ),
    Command(
        "alias list",
        "",
        "alias:listing",
        "List aliases",
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "alias remove",
        "<alias>",
        "alias:remove",
        "Remove aliases",
        least=1,
        most=1,
        aliases=("rm",),
        examples="lxc alias remove ll",
    ),
    Command(
        "alias rename",
        "<old alias> <new alias>",
        "alias:rename",
        "Rename aliases",
        least=2,
        most=2,
        aliases=("mv",),
        examples="lxc alias rename ll l",
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
        long="""Monitor a local or remote LXD server

Events are shown as they come, until Ctrl-C: of every type unless --type, which may be repeated, names some.""",
        examples="""lxc monitor --type=lifecycle
    What happens to instances, images and the rest.

lxc monitor --pretty --type=logging --loglevel=warn
    The daemon's log, from warnings on.""",
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
        examples="lxc operation show 6f753c98-cdef-4aa2-94bc-4c39a2ce41bb",
    ),
    Command(
        "query",
        "[<remote>:]<API path>",
        "query:run",
        "Send a raw query to LXD",
        least=1,
        most=1,
        examples="""lxc query "/1.0/instances?recursion=1"
    What the server tells of its instances.

lxc query --wait -X PUT -d '{"action": "stop", "force": true}' /1.0/instances/c1/state
    Stop "c1", and wait for it.""",
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
        long="""List warnings

Warnings that were acknowledged or have been resolved are shown with --all.

The letters of --columns, commas between them allowed:

    u - UUID
    t - Type
    S - Status
    s - Severity
    c - How often
    p - Project
    L - Location
    f - First seen
    l - Last seen""",
        aliases=("ls",),
        flags=(
            Flag("all", "a", help="List all warnings"),
            Flag("columns", "c", "text", default="utSscpLl", help="Columns"),
            Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),
        ),
    ),
    Command("warning show", "[<remote>:]<warning-uuid>", "warning:show", "Show warning", least=1, most=1),
)
