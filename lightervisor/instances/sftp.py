"""SFTP sessions: the files of an instance or of a snapshot, served by a process that is inside. See docs/adr/0019.

A session does not hold the instance's lock. It ends with its connection, and before the instance's root file system is
unmounted or exchanged: with its stop, deletion, rename, restore, rebuild, refresh or move to another pool.
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from lightervisor.config.names import volume_name
from lightervisor.errors import Failure, HostError, NotFound
from lightervisor.instances.guest_root import GuestRoot
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.snapshot_roots import SnapshotRoots
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import cgroup, paths, pidfd, process
from lightervisor.kernel.threads import finished
from lightervisor.kernel.userns import namespace_of

MOST_SESSIONS = 256
Owner = tuple[str, str] | None
"""Project and name of the instance whose root file system a session uses; None for a snapshot's."""
_PACKAGE = Path(__file__).parent.parent.parent
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from lightervisor.sftp.process import main; main()"


class Session:
    """A process that serves one, and the daemon's end of its connection."""

    def __init__(self, child: process.Child, connection: socket.socket) -> None:
        self.connection, self._child = connection, child
        self._ended = os.pidfd_open(child.pid)

    async def end(self) -> None:
        """Kill the process and wait until it is gone, with all that it has open."""
        if self._child.returncode is None:
            self._child.kill()
            await pidfd.ended(self._ended)
            self._child.poll()

    async def close(self) -> None:
        """The same, and let go of the connection."""
        try:
            await self.end()
        finally:
            os.close(self._ended)
            self.connection.close()


class Sftp:
    """The sessions of all instances."""

    def __init__(self, roots: GuestRoots, snapshots: SnapshotRoots, volumes: InstanceVolumes) -> None:
        self._roots, self._snapshots = roots, snapshots
        self._sessions: dict[Session, Owner] = {}
        self._starting: dict[asyncio.Task[Session], Owner] = {}
        volumes.before_leaving(self.end)

    @asynccontextmanager
    async def opened(self, project: str, name: str) -> AsyncGenerator[socket.socket, None]:
        """A connection that speaks SFTP, non-blocking, while the context lasts.

        Raises NotFound, HostError, and Failure when there are too many sessions.
        """
        async with (
            self._roots.lent(project, name) as root,
            self._session(root, (project, name), volume_name(project, name)) as connection,
        ):
            yield connection

    @asynccontextmanager
    async def opened_snapshot(self, project: str, name: str, snapshot: str) -> AsyncGenerator[socket.socket, None]:
        """The same for a snapshot, in which nothing can be changed."""
        async with self._snapshots.opened(project, name, snapshot) as found:
            root = GuestRoot(paths.open_root(found.path), None)
            async with self._session(root, None, "") as connection:
                yield connection

    async def end(self, project: str, name: str) -> None:
        """End the sessions of an instance, those too that are being started."""
        owner = (project, name)
        if starting := [task for task, its in self._starting.items() if its == owner]:
            await asyncio.wait(starting)
        for session in [one for one, its in self._sessions.items() if its == owner]:
            await session.end()

    async def close(self) -> None:
        """The daemon ends: end all sessions, which would hold it up."""
        if self._starting:
            await asyncio.wait(list(self._starting))
        for session in list(self._sessions):
            await session.end()

    @asynccontextmanager
    async def _session(self, root: GuestRoot, owner: Owner, container: str) -> AsyncGenerator[socket.socket, None]:
        """One session, known from the first moment on; without a container nothing may be changed in it."""
        starting = asyncio.create_task(self._started(root, container), name="sftp")
        self._starting[starting] = owner

        def note(_: object) -> None:
            del self._starting[starting]
            if not starting.cancelled() and starting.exception() is None:
                self._sessions[starting.result()] = owner

        starting.add_done_callback(note)
        session = None
        try:
            session = await finished(starting)
            yield session.connection
        finally:
            if session is None and not starting.cancelled() and starting.exception() is None:
                session = starting.result()
            if session is not None:
                del self._sessions[session]
                await session.close()

    async def _started(self, root: GuestRoot, container: str) -> Session:
        try:
            if len(self._sessions) + len(self._starting) > MOST_SESSIONS:
                raise Failure("SFTP", cause=f"there are {MOST_SESSIONS} sessions already", remedy="end one of them")
            return await asyncio.to_thread(_start, root, container)
        finally:
            os.close(root.descriptor)


def _start(root: GuestRoot, container: str) -> Session:
    with ExitStack() as stack:
        users = -1 if root.idmap is None else namespace_of(root.idmap)
        mounts = -1
        if root.pid is not None:
            mounts = _opened(stack, f"/proc/{root.pid}/ns/mnt")
            if root.idmap is not None:
                users = _opened(stack, f"/proc/{root.pid}/ns/user")
            if not cgroup.payload(root.pid, container):  # the pid is another process's by now
                raise NotFound("instance", container, cause="it has just stopped", remedy="try again")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            descriptors = [theirs.fileno(), root.descriptor, users, mounts]
            words = [*(str(one) for one in descriptors), "writable" if container else "read-only"]
            argv = [sys.executable, "-IS", "-c", _START, _PACKAGE, *words]
            try:
                child = process.spawn(
                    argv, stdout=process.PIPE, stderr=None, pass_fds=[one for one in descriptors if one >= 0]
                )
            except BaseException:
                ours.close()
                raise
        answer = _said(child)
        if answer != "ok":
            ours.close()
            raise HostError("SFTP", cause=answer or "the process that serves it has ended", remedy="see lxd's log")
        return Session(child, ours)


def _said(child: process.Child) -> str:
    """What the process says when it is inside, or cannot be: then it is gone."""
    if child.stdout is None:
        return ""
    with child.stdout as said:
        answer = said.read().decode(errors="replace").strip()
    if answer != "ok":
        child.kill()
        child.wait()
    return answer


def _opened(stack: ExitStack, path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            raise NotFound("instance", path, cause="it has just stopped", remedy="try again") from error
        raise
    stack.callback(os.close, descriptor)
    return descriptor
