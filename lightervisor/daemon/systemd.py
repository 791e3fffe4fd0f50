"""What systemd and the daemon tell each other: a socket that is listened on already, and when the daemon is ready.

Nothing happens where another program started the daemon. Sources: sd_listen_fds(3), sd_notify(3).
"""

import logging
import os
import socket

FIRST_FD = 3
log = logging.getLogger(__name__)


def is_socket_given() -> bool:
    """Whether systemd started us with the listening socket."""
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ.get("LISTEN_FDS", "0")) > 0


def given_socket() -> socket.socket | None:
    """The listening socket that systemd gave, if it did."""
    return socket.socket(fileno=FIRST_FD) if is_socket_given() else None


def notify(state: str) -> None:
    """Tell systemd a state, such as "READY=1"; when it does not listen where it said, the log has it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # "@" stands for the abstract namespace.
    place = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), place)
    except OSError as error:
        log.warning("systemd could not be told %s: %s", state, error)
