"""Daemons that start at once: forked from a process that has read and compiled the whole program already.

Loading takes nine tenths of the time in which a daemon starts, and the tests with faults start one for each effect
that kills one. A forked daemon differs from a started one in its command line and in nothing that it does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from tests.harness.processes import PATIENCE_S, REPOSITORY

LONGEST = 64 << 10  # of a request
CODE = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from tests.harness.faulty_daemon import nurse
sys.exit(nurse(int(sys.argv.pop(1))))
"""


class Forked:
    """A process of a nursery, as `subprocess.Popen` shows it."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self.pid, self.returncode = self._read(), None

    def _read(self) -> int:
        words = self._told.recv(32)
        assert words, "the nursery has ended"
        return int(words)

    def poll(self) -> int | None:
        """How it ended, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("lxd", timeout or 0)
            self.returncode = self._read()
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that forks daemons; it ends with `close`, or with this process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-P", "-c", CODE, str(REPOSITORY), str(theirs.fileno())]
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )

    def start(self, words: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> Forked:
        """Start a daemon with this command line and environment, its output in a file."""
        told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            wanted = json.dumps({"words": list(words), "env": dict(env)}).encode()
            socket.send_fds(self._socket, [wanted], [log.fileno(), theirs.fileno()])
        return Forked(told)

    def close(self) -> None:
        """End it; the daemons go on."""
        self._socket.close()
        self._process.wait(PATIENCE_S)


def serve(control: socket.socket) -> dict[str, str] | None:
    """The nursery's own side: fork whenever it is asked to.

    Returns in each child, which has its command line in `sys.argv`, with the environment that is to be its own; and
    with None in the nursery when nobody is left to ask.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, reading], [], [])[0]
        if reading in ready:
            os.read(reading, LONGEST)
            _tell_ended(children)
        if control in ready:
            wanted, descriptors, *_ = socket.recv_fds(control, LONGEST, 2)
            if not wanted:
                return None
            log, told = descriptors[0], socket.socket(fileno=descriptors[1])
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (control, told, *children.values()):
                    one.close()
                os.close(reading)
                os.close(writing)
                return _become(json.loads(wanted), log)
            os.close(log)
            children[pid] = told
            told.send(str(pid).encode())


def _tell_ended(children: dict[int, socket.socket]) -> None:
    for pid, told in list(children.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid), suppress(OSError):
                told.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(wanted: dict[str, Any], log: int) -> dict[str, str]:
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.argv[:] = wanted["words"]
    return wanted["env"]
