"""Processes as descriptors: no pid is ever signalled after it was reused. Source: pidfd_open(2)."""

import asyncio
import os
import select
import signal
from pathlib import Path


def open_process(pid: int) -> int | None:
    """A descriptor of a process, or None when it is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def send(pidfd: int, number: int) -> None:
    """Send a signal; nothing happens when the process is gone."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


async def ended(pidfd: int) -> None:
    """Wait until the process has ended."""
    await first_ended(pidfd)


async def first_ended(*pidfds: int) -> int:
    """Wait until one of these processes has ended; its descriptor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()

    def wake(pidfd: int) -> None:
        if not done.done():
            done.set_result(pidfd)

    # A descriptor has one reader in a loop, so each waiter watches copies of its own.
    copies = {os.dup(pidfd): pidfd for pidfd in pidfds}
    for copy, pidfd in copies.items():
        loop.add_reader(copy, wake, pidfd)
    try:
        return await done
    finally:
        for copy in copies:
            loop.remove_reader(copy)
            os.close(copy)


def has_ended(pidfd: int) -> bool:
    """Whether the process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def of_program(pid_file: Path, word: str) -> int | None:
    """A descriptor of the process that a pid file names, for the caller to close; None when it is gone.

    The pid file alone proves nothing: `word` must be among what the process was started with.
    """
    try:
        pid = int(pid_file.read_text())
        found = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    if os.fsencode(word) in words:
        return found
    os.close(found)
    return None


def end(pidfd: int, *, timeout_s: float = 5) -> None:
    """End a process, politely for so long, then not, and wait for it. Blocking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        send(pidfd, number)
        if select.select([pidfd], [], [], timeout_s)[0]:
            return


def start_time(pid: int) -> int:
    """When the process was started, in clock ticks since boot: with the pid it names one process. 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[19])


def title(pid: int) -> str:
    """The command line of a process, or the title that it gave itself; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent(pid: int) -> int | None:
    """The parent's pid, or None when the process is gone."""
    field = status(pid).get("PPid")
    return int(field) if field else None


def status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status as a map; empty when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
