"""What an instance needs that has containers of its own inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow
from lightervisor.devices.disk import mount_entry
from lightervisor.errors import Unsupported
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.runtime.spec import Lines
from lightervisor.storage.plain import PlainDirectory

NESTING = "security.nesting"
SHIFTED = ("bind", "create=dir", "idmap=container")


async def nesting_lines(volumes: InstanceVolumes, pool: str, row: InstanceRow, config: Mapping[str, str]) -> Lines:
    """Directories that the root file system cannot carry for containers inside this one."""
    if not is_true(config.get(NESTING)):
        return []
    words = list(SHIFTED[:2] if is_true(config.get("security.privileged")) else SHIFTED)
    found = await volumes.plain_directories(pool, row.project, row.name)
    return [("lxc.mount.entry", mount_entry(str(one.host), one.guest, words)) for one in found]


def over(root: Path, directories: Sequence[PlainDirectory]) -> dict[str, Path]:
    """Those directories that lie over one of the root file system, by their paths in it. Raises Unsupported.

    One whose place is not there has never been bound into a container.
    """
    found: dict[str, Path] = {}
    for one in directories:
        if not paths.exists(root, one.guest, follow=True):
            continue
        if not paths.is_plain(root, one.guest):
            cause = f"its /{one.guest} lies behind a symbolic link"
            raise Unsupported("instance", cause=cause, remedy="make it a directory")
        found[one.guest] = one.host
    return found
