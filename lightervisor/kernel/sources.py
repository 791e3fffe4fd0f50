"""Files and directories of the host that are shown to guests, opened once: what was looked at is what is mounted.

A guest can write below what is shown to it, and another source may lie there. So a link is followed only as far as
its owner could go anyway: one that is not root's must lead to something of the same owner. Links of the kernel's
(/proc/PID/root) are not followed at all: their text says where they lead for their process, which is another place
here. Failures are OSError. Source: path_resolution(7), openat2(2), systemd's CHASE_SAFE.
"""

import errno
import os
import stat

from lightervisor.kernel import syscalls

_MOST_LINKS = 40
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_source(path: str) -> int:
    """A descriptor (O_PATH) of what an absolute path leads to: the caller's to close.

    Raises OSError; EPERM when a link of somebody else than root leads to what is not theirs, and for the kernel's.
    """
    owners, links = set[int](), 0
    here = os.open("/", _FLAGS | os.O_DIRECTORY)
    try:
        pending = _reversed_parts(path)
        while pending:
            name = pending.pop()
            step = os.open(name, _FLAGS, dir_fd=here)
            found = os.fstat(step)
            if not stat.S_ISLNK(found.st_mode):
                os.close(here)
                here = step
                continue
            try:
                target = os.readlink("", dir_fd=step)
            finally:
                os.close(step)
            if _is_of_kernel(here, name):
                raise OSError(errno.EPERM, "a link of the kernel's leads to a place of its process", path)
            links += 1
            owners.add(found.st_uid)
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                os.close(here)
                here = os.open("/", _FLAGS | os.O_DIRECTORY)
            pending += _reversed_parts(target)
        owner = os.fstat(here).st_uid
        if strangers := owners - {0, owner}:
            raise OSError(errno.EPERM, f"a link of user {min(strangers)} leads to what belongs to user {owner}", path)
    except BaseException:
        os.close(here)
        raise
    return here


def _is_of_kernel(directory: int, name: str) -> bool:
    """Whether a link is none that has a text, as those of /proc/PID are."""
    try:
        os.close(syscalls.openat2(directory, os.fsencode(name), os.O_PATH, 0, syscalls.RESOLVE_NO_MAGICLINKS))
    except OSError as error:
        if error.errno != errno.ELOOP:
            return False
        try:  # it may be an ordinary one that leads in a circle
            os.close(os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=directory))
        except OSError:
            return False
        return True
    return False


def _reversed_parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
