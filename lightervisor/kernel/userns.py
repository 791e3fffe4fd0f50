"""User namespaces as descriptors, for id-mapped mounts. Source: user_namespaces(7), mount_setattr(2).

A daemon with threads must not fork, so a tiny program of the host holds the namespace for the moment it
takes to write its maps and open it.
"""

import os
import subprocess
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import process
from lightervisor.kernel.idmap import IdMap

HOLDER = ["unshare", "--user", "--", "sh", "-c", "echo; read -r _"]
_kept: dict[IdMap, int] = {}


def namespace_of(idmap: IdMap) -> int:
    """A descriptor of a user namespace with this map, kept for the process's life: not the caller's to close."""
    if idmap not in _kept:
        _kept[idmap] = open_userns(idmap)
    return _kept[idmap]


def open_userns(idmap: IdMap) -> int:
    """A fresh descriptor of a user namespace with this map. Raises HostError when the kernel refuses it."""
    holder = process.spawn(HOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with holder:
        if holder.stdout is None or holder.stderr is None or not holder.stdout.read(1):
            words = holder.stderr.read() if holder.stderr else b""
            raise HostError("user namespace", cause=process.last_words(words, holder.wait()))
        proc = Path("/proc", str(holder.pid))
        try:
            (proc / "uid_map").write_text(idmap.proc_lines("uid"))
            (proc / "gid_map").write_text(idmap.proc_lines("gid"))
            return os.open(proc / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError("user namespace", cause=f"the kernel refused the id map: {error.strerror}") from error
        finally:
            if holder.stdin is not None:
                holder.stdin.close()
