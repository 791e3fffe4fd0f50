"""What the daemon writes down about each container that runs or is being started, so that its remains can be found.

A note is written before anything of a start is done and removed when all of a stop is. It need not be durable: what it
is about (processes, mounts, cgroups) is gone when the host goes down, which a note of another boot tells.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lightervisor.kernel import cgroup, files, pidfd

PATIENCE_S = 5.0


class Process(msgspec.Struct, frozen=True):
    """One process for good: a pid alone is used again."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this pid now."""
        return cls(pid, pidfd.start_time(pid))

    async def end(self, patience_s: float = 0) -> None:
        """Wait until it has ended, and kill it when that takes longer."""
        descriptor = pidfd.open_process(self.pid)
        if descriptor is None:
            return
        try:
            if pidfd.start_time(self.pid) != self.started:
                return
            try:
                async with asyncio.timeout(patience_s):
                    await pidfd.ended(descriptor)
            except TimeoutError:
                pidfd.send(descriptor, signal.SIGKILL)
                await pidfd.ended(descriptor)
        finally:
            os.close(descriptor)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """`starter` is the process that starts the container; `whole` says that the start was done to its end.

    `restorer` restores it, `dumper` dumps it while it runs: both end soon without a daemon. `stopping` says that it is
    being stopped for good, `native_only` that it may make no other system calls,
    `revived` that it was restored.
    """

    boot: str = ""
    whole: bool = False
    stopping: bool = False
    native_only: bool = False
    revived: bool = False
    starter: Process | None = None
    restorer: Process | None = None
    dumper: Process | None = None
    init: Process | None = None
    monitor: Process | None = None
    groups: tuple[str, ...] = ()


class Notes:
    """The notes of a directory, one file for each container."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, name: str, note: Note) -> None:
        """Write a container's note, or another one in its place. Raises OSError."""
        text = msgspec.json.encode(msgspec.structs.replace(note, boot=self._boot)).decode()
        files.write_whole(self._directory / name, text, 0o600)

    def read(self, name: str) -> Note | None:
        """A container's note; None without one, and for one from before the host was started."""
        try:
            note = msgspec.json.decode((self._directory / name).read_bytes(), type=Note)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return note if note.boot == self._boot else None

    def forget(self, name: str) -> None:
        """Remove a container's note; nothing happens when there is none."""
        files.discard(self._directory / name)


async def end_remains(note: Note, lxcpath: str, name: str) -> None:
    """End what is left of a container that no monitor keeps any more, and remove its cgroups."""
    if note.starter is not None:
        await note.starter.end(PATIENCE_S)
    if note.init is not None:
        await note.init.end()
    if note.monitor is not None:
        await note.monitor.end(PATIENCE_S)  # it cleans up after its init
    await end_monitor(lxcpath, name)
    await asyncio.to_thread(cgroup.remove, [Path(group) for group in note.groups])


async def end_failed(lxcpath: str, name: str, groups: Sequence[Path]) -> None:
    """Wait until nothing is left of a container that did not start; these are its monitor's cgroups."""
    await end_monitor(lxcpath, name)
    await asyncio.to_thread(cgroup.remove, groups)


async def end_monitor(lxcpath: str, name: str) -> None:
    """Wait until the monitor of a container that did not start, or has ended, has cleaned up behind it.

    Another engine may have a container of the same name: a monitor's title tells whose it is.
    """
    title = f"[lxc monitor] {lxcpath} {name}"
    for pid in cgroup.monitor_pids(name):
        monitor = Process.of(pid)
        if pidfd.title(pid) == title:
            await monitor.end(PATIENCE_S)
