"""Work in the namespaces of a running container, done from outside by a thread that enters them and ends.

Nothing but system calls may be done there: the thread's "/" is the container's. Source: setns(2), namespaces(7).
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightervisor.kernel import paths, syscalls
from lightervisor.kernel.idmap import IdMap, map_of_process


class Guest(NamedTuple):
    """A running container: the host's pid of its init, and its id map, None when it is privileged."""

    pid: int
    idmap: IdMap | None = None

    @property
    def uid(self) -> int:
        """The host's uid of its root. Raises Invalid when it has none."""
        return self.idmap.host_root if self.idmap else 0

    @property
    def gid(self) -> int:
        """The host's gid of its root. Raises Invalid when it has none."""
        return self.idmap.host_root_gid if self.idmap else 0


def guest_of(pid: int | None) -> Guest | None:
    """The container with this init; None when there is none, or it has ended."""
    try:
        return None if pid is None else Guest(pid, map_of_process(pid))
    except OSError:
        return None


def in_mounts(guest: Guest, work: Callable[[int], None]) -> None:
    """Call `work` with a descriptor of the root, in the mount namespace, with the files' identity of root inside.

    The thread's working directory is its own. Raises OSError when the container has ended, and what `work` raises.
    """

    def enter() -> None:
        # Opened from here: the container's own /proc would be another one.
        root = paths.open_root(Path(f"/proc/{guest.pid}/root"))
        try:
            with _Namespace(Path(f"/proc/{guest.pid}/ns/mnt")) as namespace:
                syscalls.enter_mount_namespace(namespace)
            syscalls.act_as(guest.uid, guest.gid)
            work(root)
        finally:
            os.close(root)

    _on_a_thread(enter)


def in_mount_namespace(pid: int, work: Callable[[], None]) -> None:
    """Call `work` in the mount namespace of a process of ours. Raises OSError, and what `work` raises."""

    def enter() -> None:
        with _Namespace(Path(f"/proc/{pid}/ns/mnt")) as namespace:
            syscalls.enter_mount_namespace(namespace)
        work()

    _on_a_thread(enter)


def network_of(pid: int) -> Path:
    """The network namespace of a process, as a file that can be bound elsewhere, where it stays when all have ended."""
    return Path(f"/proc/{pid}/ns/net")


def in_network(guest: Guest, work: Callable[[], None]) -> None:
    """Call `work` in the network namespace. Raises OSError when the container has ended, and what `work` raises."""
    in_network_at(network_of(guest.pid), work)


def in_network_at(file: Path, work: Callable[[], None]) -> None:
    """Call `work` in the network namespace that is bound to a file. Raises OSError, and what `work` raises."""

    def enter() -> None:
        with _Namespace(file) as namespace:
            syscalls.enter_network_namespace(namespace)
        work()

    _on_a_thread(enter)


class _Namespace:
    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _on_a_thread(work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, which raises it
            failures.append(error)

    thread = threading.Thread(target=run, name="inside")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
