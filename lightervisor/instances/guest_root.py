"""The root directory of an instance as a descriptor, with the map of its ids. Source: proc(5), user_namespaces(7)."""

import os
from pathlib import Path
from typing import NamedTuple

from lightervisor.kernel import cgroup, paths
from lightervisor.kernel.idmap import IdMap, map_of_process


class GuestRoot(NamedTuple):
    """A root directory; `idmap` is None when ids inside are the host's, `pid` is the init of a running container."""

    descriptor: int
    idmap: IdMap | None
    pid: int | None = None

    def __enter__(self) -> "GuestRoot":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def open_running(pid: int, container: str) -> GuestRoot | None:
    """The root of a running container by its init, None when that has just ended."""
    try:
        descriptor = paths.open_root(Path(f"/proc/{pid}/root"))
    except OSError:
        return None
    try:
        if cgroup.payload(pid, container):  # else the pid is another process's by now
            return GuestRoot(descriptor, map_of_process(pid), pid)
    except OSError:
        pass
    os.close(descriptor)
    return None
