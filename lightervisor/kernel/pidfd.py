"""Processes as descriptors: no pid is ever signalled after it was reused. Source: pidfd_open(2)."""

import asyncio
import os
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
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_reader(pidfd, wake)
    try:
        await done
    finally:
        loop.remove_reader(pidfd)


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


def children(pid: int) -> list[int]:
    """The pids of a process's children; none when it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
