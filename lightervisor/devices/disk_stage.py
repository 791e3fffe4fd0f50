"""The place of a disk on the host, from where it is shown to its container.

The container's root could not walk through /root, say, to a source; and what is mounted here has its restrictions and
its owners already, so that a start and a plug show the same.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import mounts, process, syscalls

TIMEOUT_S = 60
ATTRIBUTES = {
    "ro": syscalls.MOUNT_ATTR_RDONLY,
    "nosuid": syscalls.MOUNT_ATTR_NOSUID,
    "nodev": syscalls.MOUNT_ATTR_NODEV,
    "noexec": syscalls.MOUNT_ATTR_NOEXEC,
    "noatime": syscalls.MOUNT_ATTR_NOATIME,
    "strictatime": syscalls.MOUNT_ATTR_STRICTATIME,
    "nodiratime": syscalls.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": syscalls.MOUNT_ATTR_NOSYMFOLLOW,
}
USUAL = ("", "rw", "relatime", "bind", "rbind", "defaults")


class Looks(NamedTuple):
    """How a disk is shown: mount options, with what is below, and the user namespace that gives owners, if any."""

    options: tuple[str, ...]
    recursive: bool
    namespace: int | None


class Stage:
    """One place. Failures of the system are OSError, those of programs HostError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_file(self) -> bool:
        """Whether what is shown is no directory."""
        return not self.path.is_dir()

    def bind(self, source: int, looks: Looks) -> None:
        """Show what a descriptor refers to. Raises Invalid for an option that is not one of binds."""
        wanted = attributes(looks.options)
        self._make(is_file=not stat.S_ISDIR(os.fstat(source).st_mode))
        tree = syscalls.open_tree("", directory=source, recursive=looks.recursive)
        self._attach(tree, wanted, looks)

    def mount_block(self, source: int, looks: Looks) -> None:
        """Show the file system in a block device."""
        device = Path(f"/proc/self/fd/{source}").readlink()
        self._make(is_file=False)
        given = [one for one in looks.options if one]
        process.run(
            ["mount", *(["-o", ",".join(given)] if given else []), "--", device, self.path], timeout_s=TIMEOUT_S
        )
        mounted = self.path.stat().st_dev
        # btrfs has numbers of its own, with major 0.
        if os.major(mounted) and mounted != os.fstat(source).st_rdev:
            raise HostError("disk", str(device), cause="it was replaced while it was mounted")
        if looks.namespace is not None:
            tree = syscalls.open_tree(self.path)
            mounts.umount_alone(self.path)
            self._attach(tree, 0, looks)

    def mount_tmpfs(self, data: str, looks: Looks) -> None:
        """Show an empty file system in memory; `data` are options of tmpfs itself."""
        wanted = attributes(looks.options)
        self._make(is_file=False)
        mounts.mount("tmpfs", self.path, "tmpfs", data=data)
        if wanted:
            tree = syscalls.open_tree(self.path)
            mounts.umount_alone(self.path)
            self._attach(tree, wanted, looks)

    def remove(self) -> None:
        """Unmount and remove the place."""
        with contextlib.suppress(FileNotFoundError):
            mounts.umount_alone(self.path)
            self.path.rmdir() if self.path.is_dir() else self.path.unlink()
            with contextlib.suppress(OSError):  # others may be in there
                self.path.parent.rmdir()

    def _make(self, *, is_file: bool) -> None:
        self.path.touch() if is_file else self.path.mkdir()

    def _attach(self, tree: int, wanted: int, looks: Looks) -> None:
        try:
            if wanted:
                clear = syscalls.MOUNT_ATTR_ATIME if wanted & syscalls.MOUNT_ATTR_ATIME else 0
                syscalls.mount_setattr(tree, set=wanted, clear=clear, recursive=looks.recursive)
            if looks.namespace is not None:
                syscalls.mount_setattr(
                    tree, set=syscalls.MOUNT_ATTR_IDMAP, namespace=looks.namespace, recursive=looks.recursive
                )
            syscalls.move_mount(tree, self.path)
        finally:
            os.close(tree)


def attributes(options: tuple[str, ...]) -> int:
    """Mount options as the kernel's attributes. Raises Invalid for what a bind mount cannot have."""
    found = 0
    for one in options:
        if one in ATTRIBUTES:
            found |= ATTRIBUTES[one]
        elif one not in USUAL:
            remedy = f"known are: {', '.join(sorted(ATTRIBUTES))}"
            raise Invalid(
                "raw.mount.options", one, text=f"Invalid mount option {one!r} for a bind mount", remedy=remedy
            )
    return found
