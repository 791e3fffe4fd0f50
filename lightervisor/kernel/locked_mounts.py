"""Mounts whose restrictions a guest cannot lift.

Root of a container may remount what is in its mount namespace: a read-only mount that was moved there would not stay
read-only. The kernel locks restrictions when mounts are copied into a namespace that belongs to a lesser user
namespace. So the mount is cloned from such a copy, which a tiny program of the host holds for the moment.
Source: mount_namespaces(7), "Restrictions on mount namespaces".
"""

import subprocess
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import guests, process, syscalls

HOLDER = ["unshare", "--user", "--mount", "--propagation", "unchanged", "--", "sh", "-c", "echo; read -r _"]


def clone(path: Path, *, recursive: bool = False) -> int:
    """A detached clone of the mount at a path, with its restrictions locked: the caller's to close.

    Raises OSError, and HostError when the host refuses user namespaces.
    """
    holder = process.spawn(HOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with holder:
        try:
            if holder.stdout is None or holder.stderr is None or not holder.stdout.read(1):
                words = holder.stderr.read() if holder.stderr else b""
                raise HostError("mount namespace", cause=process.last_words(words, holder.wait()))
            found: list[int] = []
            guests.in_mount_namespace(holder.pid, lambda: found.append(syscalls.open_tree(path, recursive=recursive)))
            return found[0]
        finally:
            if holder.stdin is not None:
                holder.stdin.close()
