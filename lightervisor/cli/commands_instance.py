"""Declares the commands that run instances: launch, list, info, start … restore."""

from lightervisor.cli.table import Command, Flag

_LIST = """\
List instances

Filters are added one on top of the other: the beginning of a name, a regular expression or glob for the whole name,
key=value on the configuration (each dotted part may be cut: u.blah=abc), or one of type=, status=, architecture=,
location=, ipv4= and ipv6= with values separated by commas.

Columns (-c) are letters, and [config:|devices:]key[:header[:width]] between commas:
  n name, s state, 4 IPv4, 6 IPv6, t type, S snapshots, L location, a architecture, b storage pool, c created at,
  l last used at, d description, e project, f base image, F base image in full, P profiles, p pid, N processes,
  u CPU usage, m memory usage, M memory usage in percent, D disk usage"""
_LIST_EXAMPLES = """\
lxc list -c nFs46,volatile.eth0.hwaddr:MAC,config:image.os,devices:eth0.parent:ETHP
lxc list -c ns,user.comment:comment status=running"""
_EXEC = """\
Execute commands in instances

The command is started directly: for patterns, variables and redirections start a shell, for example
  lxc exec <instance> -- sh -c "cd /tmp && pwd"

It gets a terminal when both standard input and standard output are one."""
_WAIT_WORDS = "ip, ipv4, ipv6, cloud-init, ready, tcp:PORT"

COMMANDS = (
    Command(
        "console",
        "[<remote>:]<instance>",
        "console:run",
        "Attach to instance consoles",
        least=1,
        most=1,
        flags=(
            Flag("show-log", help="Retrieve the instance's console log"),
            Flag(
                "type",
                "t",
                "text",
                default="console",
                help="Type of connection to establish: 'console' for serial console, 'vga' for SPICE graphical output",
            ),
        ),
    ),
    Command(
        "delete",
        "[<remote>:]<instance>[/<snapshot>] [[<remote>:]<instance>[/<snapshot>]...]",
        "delete:run",
        "Delete instances and snapshots",
        least=1,
        most=None,
        aliases=("rm",),
        flags=(
            Flag("force", "f", help="Force the removal of running instances"),
            Flag("interactive", "i", help="Require user confirmation"),
        ),
    ),
    Command(
        "exec",
        "[<remote>:]<instance> [flags] [--] <command line>",
        "exec:run",
        "Execute commands in instances",
        least=2,
        most=None,
        long=_EXEC,
        flags=(
            Flag("cwd", "", "text", help="Directory to run the command in (default /root)"),
            Flag("disable-stdin", "n", help="Disable stdin (reads from /dev/null)"),
            Flag("env", "", "many", help="Environment variable to set (e.g. HOME=/home/foo)"),
            Flag("force-interactive", "t", help="Force pseudo-terminal allocation"),
            Flag("force-noninteractive", "T", help="Disable pseudo-terminal allocation"),
            Flag("group", "", "number", help="Group ID to run the command as (default 0)"),
            Flag(
                "mode",
                "",
                "text",
                default="auto",
                help="Override the terminal mode (auto, interactive or non-interactive)",
            ),
            Flag("user", "", "number", help="User ID to run the command as (default 0)"),
        ),
    ),
    Command(
        "info",
        "[<remote>:][<instance>]",
        "info:run",
        "Show instance or server information",
        most=1,
        flags=(
            Flag("resources", help="Show the resources available to the server"),
            Flag("show-log", help="Show the instance's last 100 log lines?"),
            Flag("target", "", "text", help="Cluster member name"),
        ),
    ),
    Command(
        "init",
        "[<remote>:]<image> [<remote>:][<name>]",
        "launch:init",
        "Create instances from images",
        least=0,
        most=2,
        flags=(
            Flag("config", "c", "many", help="Config key/value to apply to the new instance"),
            Flag("device", "d", "many", help="New key/value to apply to a specific device"),
            Flag("empty", help="Create an empty instance"),
            Flag("ephemeral", "e", help="Ephemeral instance"),
            Flag("network", "n", "text", help="Network name"),
            Flag("no-profiles", help="Create the instance with no profiles applied"),
            Flag("profile", "p", "many", help="Profile to apply to the new instance"),
            Flag("storage", "s", "text", help="Storage pool name"),
            Flag("target", "", "text", help="Cluster member name"),
            Flag("type", "t", "text", help="Instance type"),
            Flag("vm", help="Create a virtual machine"),
        ),
    ),
    Command(
        "launch",
        "[<remote>:]<image> [<remote>:][<name>]",
        "launch:launch",
        "Create and start instances from images",
        least=0,
        most=2,
        flags=(
            Flag("config", "c", "many", help="Config key/value to apply to the new instance"),
            Flag("console", "", "text", bare="console", help="Immediately attach to the console"),
            Flag("device", "d", "many", help="New key/value to apply to a specific device"),
            Flag("empty", help="Create an empty instance"),
            Flag("ephemeral", "e", help="Ephemeral instance"),
            Flag("network", "n", "text", help="Network name"),
            Flag("no-profiles", help="Create the instance with no profiles applied"),
            Flag("profile", "p", "many", help="Profile to apply to the new instance"),
            Flag("storage", "s", "text", help="Storage pool name"),
            Flag("target", "", "text", help="Cluster member name"),
            Flag("timeout", "", "number", default="300", help="Seconds to wait with --wait (-1 for no limit)"),
            Flag("type", "t", "text", help="Instance type"),
            Flag("vm", help="Create a virtual machine"),
            Flag("wait", "", "text", bare="ip", help=f"Wait until it has what is named: {_WAIT_WORDS}"),
        ),
    ),
    Command(
        "list",
        "[<remote>:] [<filter>...]",
        "list:run",
        "List instances",
        most=None,
        aliases=("ls",),
        long=_LIST,
        examples=_LIST_EXAMPLES,
        flags=(
            Flag("all-projects", help="Display instances from all projects"),
            Flag("columns", "c", "text", default="ns46tSL", help="Columns"),
            Flag("fast", help="Fast mode (same as --columns=nsacPt)"),
            Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),
        ),
    ),
    Command(
        "pause",
        "[<remote>:]<instance> [[<remote>:]<instance>...]",
        "power:pause",
        "Pause instances",
        least=0,
        most=None,
        aliases=("freeze",),
        flags=(Flag("all", help="Run against all instances"),),
    ),
    Command(
        "restart",
        "[<remote>:]<instance> [[<remote>:]<instance>...]",
        "power:restart",
        "Restart instances",
        least=0,
        most=None,
        flags=(
            Flag("all", help="Run against all instances"),
            Flag("console", "", "text", bare="console", help="Immediately attach to the console"),
            Flag("force", "f", help="Force the instance to shutdown"),
            Flag("timeout", "", "number", default="-1", help="Time to wait for the instance before killing it"),
        ),
    ),
    Command(
        "restore",
        "[<remote>:]<instance> <snapshot>",
        "snapshot:restore",
        "Restore instances from snapshots",
        least=2,
        most=2,
        flags=(
            Flag(
                "stateful", help="Whether or not to restore the instance's running state from snapshot (if available)"
            ),
        ),
    ),
    Command(
        "snapshot",
        "[<remote>:]<instance> [<snapshot name>]",
        "snapshot:snapshot",
        "Create instance snapshots",
        least=1,
        most=2,
        flags=(
            Flag("no-expiry", help="Ignore any configured auto-expiry for the instance"),
            Flag("reuse", help="If the snapshot name already exists, delete and create a new one"),
            Flag("stateful", help="Whether or not to snapshot the instance's running state"),
        ),
    ),
    Command(
        "start",
        "[<remote>:]<instance> [[<remote>:]<instance>...]",
        "power:start",
        "Start instances",
        least=0,
        most=None,
        flags=(
            Flag("all", help="Run against all instances"),
            Flag("console", "", "text", bare="console", help="Immediately attach to the console"),
            Flag("stateless", help="Ignore the instance state"),
        ),
    ),
    Command(
        "stop",
        "[<remote>:]<instance> [[<remote>:]<instance>...]",
        "power:stop",
        "Stop instances",
        least=0,
        most=None,
        flags=(
            Flag("all", help="Run against all instances"),
            Flag("console", "", "text", bare="console", help="Immediately attach to the console"),
            Flag("force", "f", help="Force the instance to shutdown"),
            Flag("stateful", help="Store the instance state"),
            Flag("timeout", "", "number", default="-1", help="Time to wait for the instance before killing it"),
        ),
    ),
)
