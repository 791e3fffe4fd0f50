"""The process of one SFTP session: goes into a guest, gives up what it need not have, serves until the peer hangs up.

    process SOCKET ROOT USERS MOUNTS read-only|writable

are descriptors that it inherits: its connection, the guest's root directory, and the guest's user and mount namespace
or -1 for the daemon's own. It says "ok" on standard output when it is inside, or why it cannot be. Once there it
imports nothing: what it would find is the guest's. See docs/adr/0019.
"""

from __future__ import annotations

import os
import resource
import sys

from lightervisor.client.sftp_packets import BadPacket, taken
from lightervisor.kernel import syscalls, whole_file
from lightervisor.sftp.opened import Opener
from lightervisor.sftp.requests import MOST_HANDLES, Requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:  # the modules around these are too large for a process for each session
    import _signal as signal
    import _socket as socket

CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID = range(5)
_BLOCK = 256 << 10
_MEMORY = 256 << 20  # far more than a session takes


def main() -> None:
    """Serve the session whose descriptors the arguments are."""
    connection, root, users, mounts = (int(word) for word in sys.argv[1:5])
    own = whole_file.open_own()
    try:
        enter(root, users, mounts)
    except OSError as error:
        os.write(1, f"{error.strerror}".encode())
        sys.exit(1)
    os.write(1, b"ok")
    null = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
    opener = Opener(own, is_host_root=users < 0)
    serve(socket.socket(fileno=connection), Requests(opener, is_read_only=sys.argv[5] == "read-only"))


def enter(root: int, users: int, mounts: int) -> None:
    """Go into the guest for good, as its root, with the capabilities of one who only handles files."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_HANDLES + 64, MOST_HANDLES + 64))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.setgroups([])
    if users >= 0:
        syscalls.enter_user_namespace(users)
    if mounts >= 0:
        syscalls.enter_mount_namespace(mounts)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")
    for descriptor in {root, users, mounts} - {-1}:
        os.close(descriptor)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.keep_capabilities(CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID)
    os.umask(0)
    sys.path.clear()
    sys.meta_path.clear()


def serve(connection: socket.socket, requests: Requests) -> None:
    """Answer until the peer hangs up or says what is no SFTP; then nothing half written is left."""
    buffer = bytearray()
    try:
        while data := connection.recv(_BLOCK):
            buffer += data
            answers = bytearray()
            while (found := taken(buffer)) is not None:
                answers += requests.answer(*found)
                if len(answers) >= _BLOCK:
                    connection.sendall(answers)
                    answers = bytearray()
            if answers:
                connection.sendall(answers)
    except (BadPacket, ConnectionError):
        pass
    finally:
        requests.end()
