"""Directories of a pool: made beside their place, renamed into it, removed by way of the trash."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from lightervisor.kernel import mounts, paths
from lightervisor.storage.driver import PoolUsage

KINDS = ("containers", "custom", "images")


class Tree:
    """The directory tree of one pool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trash, self._making = root / ".trash", root / ".making"

    def create(self) -> None:
        """Make the tree and remove what an earlier daemon left unfinished or in the trash."""
        for name in KINDS:
            (self.root / name).mkdir(mode=0o711, parents=True, exist_ok=True)
        for leftover in (self._trash, self._making):
            leftover.mkdir(mode=0o700, exist_ok=True)
            for entry in leftover.iterdir():
                paths.remove_tree(entry)

    def make(self, target: Path, fill: Callable[[Path], None]) -> None:
        """Fill a new directory and put it in its place; nothing is left when filling fails."""
        fresh = self._making / str(uuid.uuid4())
        fresh.mkdir(mode=0o700)
        try:
            fill(fresh)
            fresh.chmod(0o711)
            fresh.rename(target)
        except BaseException:
            paths.remove_tree(fresh)
            raise

    def remove(self, target: Path) -> None:
        """Take a directory away at once, then remove it; nothing happens when it is gone."""
        doomed = self._trash / str(uuid.uuid4())
        try:
            target.rename(doomed)
        except FileNotFoundError:
            return
        paths.remove_tree(doomed)

    def unmount_all(self) -> None:
        """Unmount whatever is mounted below."""
        for kind in KINDS:
            directory = self.root / kind
            if directory.is_dir():
                for volume in directory.iterdir():
                    mounts.unmount(volume / "rootfs")

    def usage(self) -> PoolUsage:
        """Space and inodes of the file system."""
        facts = os.statvfs(self.root)
        return PoolUsage(
            used_bytes=(facts.f_blocks - facts.f_bfree) * facts.f_frsize,
            total_bytes=facts.f_blocks * facts.f_frsize,
            used_inodes=facts.f_files - facts.f_ffree,
            total_inodes=facts.f_files,
        )
