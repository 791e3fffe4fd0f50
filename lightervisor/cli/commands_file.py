"""Declares the commands of `file`."""

from lightervisor.cli.table import Command, Flag

_PULL_EXAMPLES = """\
lxc file pull c1/etc/hosts .
    A file of the instance "c1".

lxc file pull -r c1/snap0/etc .
    A folder of its snapshot "snap0", if "c1" itself has no /snap0/etc.

lxc file pull --snapshot snap0 c1/etc/hosts -
    The same file as it was then, on standard output."""

COMMANDS = (
    Command("file", summary="Manage files in instances"),
    Command(
        "file delete",
        "[<remote>:]<instance>/<path> [[<remote>:]<instance>/<path>...]",
        "file:delete",
        "Delete files in instances",
        least=1,
        most=None,
        aliases=("rm",),
    ),
    Command("file edit", "[<remote>:]<instance>/<path>", "file:edit", "Edit files in instances", least=1, most=1),
    Command(
        "file mount",
        "[<remote>:]<instance>[/<path>] [<target path>]",
        "file_mount:mount",
        "Mount files from instances",
        least=1,
        most=2,
        flags=(
            Flag("auth-user", "", "text", value="string", help="Set authentication user when using SSH SFTP listener"),
            Flag(
                "listen", "", "text", value="string", help="Setup SSH SFTP listener on address:port instead of mounting"
            ),
            Flag("no-auth", help="Disable authentication when using SSH SFTP listener"),
        ),
    ),
    Command(
        "file pull",
        "[<remote>:]<instance>/<path> [[<remote>:]<instance>/<path>...] <target path>",
        "file:pull",
        "Pull files from instances",
        least=2,
        most=None,
        flags=(
            Flag("create-dirs", "p", help="Create any directories necessary"),
            Flag("recursive", "r", help="Recursively transfer files"),
            Flag("snapshot", "", "text", value="string", help="Pull from a snapshot of the instance"),
        ),
        examples=_PULL_EXAMPLES,
    ),
    Command(
        "file push",
        "<source path>... [<remote>:]<instance>/<path>",
        "file:push",
        "Push files into instances",
        least=2,
        most=None,
        flags=(
            Flag("create-dirs", "p", help="Create any directories necessary"),
            Flag("gid", "", "number", default="-1", help="Set the file's gid on push"),
            Flag("mode", "", "text", help="Set the file's perms on push"),
            Flag("recursive", "r", help="Recursively transfer files"),
            Flag("uid", "", "number", default="-1", help="Set the file's uid on push"),
        ),
    ),
)
