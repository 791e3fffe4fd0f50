"""Declares the commands of `backup`."""

from lightervisor.cli.table import Command, Flag

COMMANDS = (
    Command(
        "export",
        "[<remote>:]<instance> [target] [--instance-only] [--optimized-storage]",
        "backup:save",
        "Export instance backups",
        long="Export instances as backup tarballs.",
        least=1,
        most=2,
        flags=(
            Flag("compression", "", "text", help="Compression algorithm to use (none for uncompressed)"),
            Flag("instance-only", help="Whether or not to only backup the instance (without snapshots)"),
            Flag(
                "optimized-storage", help="Use storage driver optimized format (can only be restored on a similar pool)"
            ),
        ),
    ),
    Command(
        "import",
        "[<remote>:] <backup file> [<instance name>]",
        "backup:load",
        "Import instance backups",
        long="Import backups of instances including their snapshots.",
        least=1,
        most=3,
        flags=(
            Flag("device", "d", "many", help="New key/value to apply to a specific device"),
            Flag("storage", "s", "text", help="Storage pool name"),
        ),
    ),
)
