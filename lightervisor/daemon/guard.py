"""Whose state directory is this? Refuse to start, touching nothing, where a real LXD or another daemon lives."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from lightervisor.errors import Conflict

FOREIGN = ("database/global", "database/local.db", "lxd.db", "cowsql")


def refuse_foreign_state(directory: Path) -> None:
    """Raise Conflict when a real LXD (or Incus) keeps its database in this directory."""
    for name in FOREIGN:
        if (directory / name).exists():
            raise Conflict(
                "state directory",
                str(directory),
                cause=f"it holds the database of another LXD ({name}); nothing was touched",
                remedy="set LXD_DIR to an empty directory",
            )


def take_over(directory: Path, *, is_socket_ours: bool) -> int:
    """Lock the state directory for this process and return the lock's descriptor, to be kept open.

    `is_socket_ours`: systemd listens on the socket for us, so that an answer there says nothing.
    Raises Conflict when another daemon holds it or answers on its socket.
    """
    if not is_socket_ours and _answers(directory / "unix.socket"):
        raise Conflict("daemon", text="LXD is already running", remedy=f"it serves {directory}/unix.socket")
    lock = os.open(directory / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise Conflict("daemon", text="LXD is already running", remedy=f"it holds {directory}/daemon.lock") from error
    return lock


def is_held(directory: Path) -> bool:
    """Whether a daemon of ours runs on this state directory.

    Asking the socket would not do: systemd, which listens on it, would start the daemon to answer.
    """
    try:
        lock = os.open(directory / "daemon.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
