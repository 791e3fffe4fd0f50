"""Making the archive of a backup: into a file of the server, or into a pipe whose other end is sent to a client."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from lightervisor.backups.contents import Contents, Members
from lightervisor.images.pack import Packing
from lightervisor.instances.moment_roots import MomentRoots
from lightervisor.kernel import paths
from lightervisor.operations.operations import Run

PROGRESS = "create_backup_progress"
KIND = "backup"
Write = Callable[[Packing, Members], None]
Opened = Callable[[Path], AbstractAsyncContextManager[Members]]


class Packer:
    """Packs instances; `directory` is where things are made, each in a place of its own."""

    def __init__(self, contents: Contents, roots: MomentRoots, directory: Path) -> None:
        self._contents, self.roots, self.directory = contents, roots, directory

    async def into_file(
        self,
        run: Run,
        arguments: Mapping[str, str],
        algorithm: str,
        *,
        instance_only: bool,
        optimized: bool,
        place: Path,
    ) -> None:
        """Write a new file, durably; the directory it is in is there. Raises Failure, HostError."""
        opened = self._opened(arguments, instance_only=instance_only, optimized=optimized)
        await packed(run, self.directory, opened, to_file(place, algorithm))

    async def into_pipe(
        self, run: Run, arguments: Mapping[str, str], algorithm: str, *, instance_only: bool, optimized: bool, pipe: int
    ) -> None:
        """Write into a pipe, which stays open. Raises Failure, HostError."""
        opened = self._opened(arguments, instance_only=instance_only, optimized=optimized)
        await packed(run, self.directory, opened, to_pipe(pipe, algorithm, self.directory))

    def _opened(self, arguments: Mapping[str, str], *, instance_only: bool, optimized: bool) -> Opened:
        return lambda scratch: self._contents.opened(
            arguments, scratch, instance_only=instance_only, optimized=optimized
        )


def to_file(place: Path, algorithm: str) -> Write:
    """Writes a new file, durably; the directory it is in is there."""

    def write(packing: Packing, members: Members) -> None:
        packing.write(members, place, algorithm)
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    return write


def to_pipe(pipe: int, algorithm: str, directory: Path) -> Write:
    """Writes into a pipe, which stays open."""
    return lambda packing, members: packing.stream(members, pipe, algorithm, directory)


async def packed(run: Run, directory: Path, opened: Opened, write: Write) -> None:
    """Pack what is opened, which may write what is for the archive alone into the directory that it is given."""
    loop = asyncio.get_running_loop()
    packing = Packing(
        lambda text: loop.call_soon_threadsafe(run.progress, PROGRESS, text) and None, kind=KIND, label=""
    )
    scratch = directory / os.urandom(16).hex()
    scratch.mkdir(mode=0o700)
    try:
        async with opened(scratch) as members:
            work = asyncio.ensure_future(asyncio.to_thread(write, packing, members))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                packing.cancel()
                await asyncio.wait([work])
                raise
    finally:
        paths.remove_tree(scratch)
