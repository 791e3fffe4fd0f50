"""What an instance needs that has containers of its own inside."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow
from lightervisor.devices.disk import mount_entry
from lightervisor.errors import Unsupported
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import mounts, paths, syscalls
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of
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


def show(root: int, idmap: IdMap | None, directories: Sequence[PlainDirectory]) -> None:
    """Mount those directories where a start would, in a root that is mounted; they go with its mount.

    One whose place is not there, or is a link, has nothing to hide. Raises OSError.
    """
    for one in directories:
        try:
            place = paths.open_beneath(root, one.guest, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            if os.path.samestat(os.fstat(place), one.host.stat()):  # it is there already
                continue
            tree = mounts.idmapped_tree(one.host, namespace_of(idmap)) if idmap else syscalls.open_tree(one.host)
            try:
                syscalls.move_mount(tree, place)
            finally:
                os.close(tree)
        finally:
            os.close(place)


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
