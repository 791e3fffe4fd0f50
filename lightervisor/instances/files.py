"""Files in instances, running or stopped, streamed in both directions.

Source: LXD, /1.0/instances/<name>/files; texts compared with LXD 5.0.2, which speaks SFTP to itself and shows it.
"""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from lightervisor.config.names import volume_name
from lightervisor.errors import Failure, Forbidden, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances import guest_files
from lightervisor.instances.guest_files import Found, Opened, Wanted
from lightervisor.instances.guest_root import GuestRoot
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.snapshot_roots import SnapshotRoots
from lightervisor.kernel import paths
from lightervisor.kernel.guest_threads import GuestThreads
from lightervisor.model.event import EventLifecycleRequestor

__all__ = ["Files", "Found", "Wanted"]
Work = Callable[..., Awaitable[Any]]
"""Calls a function with arguments on one of the threads that a guest may hold up."""
BATCH = 1 << 20
LONGEST_TARGET = 4095


class Files:
    """The files of all instances; every function raises NotFound for what is not there."""

    def __init__(self, roots: GuestRoots, snapshots: SnapshotRoots, events: Events) -> None:
        self._roots, self._snapshots, self._events = roots, snapshots, events
        self._threads = GuestThreads()

    def work(self, project: str, name: str) -> Work:
        """How to do what may wait for a file system inside an instance: the reading of what `open` has found."""
        return partial(self._threads.run, volume_name(project, name))

    @asynccontextmanager
    async def open(
        self,
        project: str,
        name: str,
        path: str,
        *,
        head: bool = False,
        requestor: EventLifecycleRequestor | None = None,
    ) -> AsyncGenerator[Found, None]:
        """What is at a path, its last part not followed, open while the context lasts. Raises NotFound, Forbidden."""
        path = _clean(path)
        work = self.work(project, name)
        async with (
            self._roots.opened(project, name) as root,
            _looked_at(work, self._threads.close, root, path, head=head) as found,
        ):
            if not head:
                self._events.happened("instance", "file-retrieved", name, project, requestor, {"path": _shown(path)})
            yield found

    @asynccontextmanager
    async def open_in_snapshot(
        self, project: str, name: str, snapshot: str, path: str, *, head: bool = False
    ) -> AsyncGenerator[Found, None]:
        """The same in a snapshot of an instance."""
        path, work = _clean(path), self.work(project, name)
        async with self._snapshots.opened(project, name, snapshot) as place:
            with GuestRoot(paths.open_root(place.path), None) as root:
                async with _looked_at(work, self._threads.close, root, path, head=head) as found:
                    yield found

    async def write(
        self,
        project: str,
        name: str,
        path: str,
        wanted: Wanted,
        content: AsyncIterator[bytes],
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """Make or overwrite what is at a path from a stream of bytes (a link's target for a symlink).

        A file that is made is there whole or not at all. Raises NotFound for a missing parent, Invalid for ids that
        the instance does not have, Forbidden, and Failure with LXD's texts.
        """
        path, work = _clean(path), self.work(project, name)
        async with self._roots.opened(project, name) as root:
            match wanted.kind:
                case "file":
                    with _told("open", path):
                        opened = await work(guest_files.open_to_write, root, path, wanted)
                    await _save(work, root, opened, path, content)
                    changed = True
                case "directory":
                    with _told("mkdir", path):
                        changed = await work(guest_files.make_directory, root, path, wanted)
                case "symlink":
                    changed = await _link(work, root, path, wanted, content)
                case _:
                    raise Invalid("file type", wanted.kind, text=f"Bad file type: {wanted.kind}")
        if changed:
            self._events.happened("instance", "file-pushed", name, project, requestor, {"path": _shown(path)})

    async def delete(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Remove a file or an empty directory. Raises NotFound, Forbidden, Failure with LXD's text."""
        path = _clean(path)
        async with self._roots.opened(project, name) as root:
            with _told("remove", path):
                await self.work(project, name)(guest_files.remove, root, path)
        self._events.happened("instance", "file-deleted", name, project, requestor, {"path": _shown(path)})


@asynccontextmanager
async def _looked_at(
    work: Work, close: Callable[[int], Awaitable[None]], root: GuestRoot, path: str, *, head: bool
) -> AsyncGenerator[Found, None]:
    with _told("lstat", path):
        found: Found = await work(partial(guest_files.look, head=head), root, path)
    try:
        yield found
    finally:
        if found.descriptor >= 0:
            await close(found.descriptor)


async def _save(work: Work, root: GuestRoot, opened: Opened, path: str, content: AsyncIterator[bytes]) -> None:
    """Write a stream, one batch on a worker while the next one arrives."""
    batch: list[bytes] = []
    size, is_complete = 0, False
    writing: asyncio.Future[None] | None = None
    try:
        with _told("write", path):
            async for block in content:
                batch.append(block)
                size += len(block)
                if size >= BATCH:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(work(guest_files.write_all, opened.descriptor, batch))
                    batch, size = [], 0
            if writing is not None:
                await writing
            await work(guest_files.write_all, opened.descriptor, batch)
        is_complete = True
    finally:
        if writing is not None and not writing.done():
            await asyncio.wait([writing])
        with _told("write", path):
            await work(partial(guest_files.close, is_complete=is_complete), root, opened)


async def _link(work: Work, root: GuestRoot, path: str, wanted: Wanted, content: AsyncIterator[bytes]) -> bool:
    target = b""
    async for block in content:
        target += block
        if len(target) > LONGEST_TARGET:
            raise Invalid("link", path, cause="its target is too long")
    text = os.fsdecode(target)
    if "\0" in text:
        raise Invalid("link", path, cause="this cannot be its target")
    with _told(f"symlink {_shown(text)}", path):
        return await work(guest_files.make_link, root, path, text, wanted)


def _clean(path: str) -> str:
    """The path from the root; what it leads through, ".." too, is the kernel's to resolve. Raises Invalid."""
    if not path:
        raise Invalid("path", text="Missing path argument")
    if "\0" in path:
        raise Invalid("path", cause="it has a zero byte in it")
    return "/" + path.lstrip("/")


def _shown(path: str) -> str:
    """The path as JSON can carry it."""
    return os.fsencode(path).decode(errors="replace")


@contextmanager
def _told(verb: str, path: str) -> Generator[None, None, None]:
    """The kernel's refusals in LXD's words."""
    try:
        yield
    except OSError as error:
        path = _shown(path)
        reason = (error.strerror or str(error)).lower()
        if error.errno == errno.ENOENT:
            raise NotFound("file", path, text="Not Found") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Forbidden("file", path, text="Forbidden") from error
        raise Failure("file", path, text=f'sftp: "{verb} {path}: {reason}" (SSH_FX_FAILURE)') from error
