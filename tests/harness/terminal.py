"""A program on a pseudo terminal, with somebody typing."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from tests.harness.processes import PATIENCE_S, eventually


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program on a pseudo terminal, as a person has it."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,  # else the keys that send signals send none
        )
        self._slave = os.ttyname(slave)
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        """Type, and wait until the program has read it: LXD's client sees a key only when it comes alone."""
        os.write(self.master, text.encode())
        eventually(self._has_read, what=f"{text!r} to be read")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, which the program is told by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)  # it is not the session's leader on this terminal

    def _has_read(self) -> bool:
        if self.process.poll() is not None:
            return True
        slave = os.open(self._slave, os.O_RDWR | os.O_NOCTTY)
        try:
            # Unlike FIONREAD, this also sees what the kernel has not yet moved to the reader's side.
            return not select.select([slave], [], [], 0)[0]
        finally:
            os.close(slave)

    def expect(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Read until the text is on the screen."""
        limit = time.monotonic() + timeout_s
        while text not in self.seen:
            assert time.monotonic() < limit, f"{text!r} did not appear in {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # the program has gone
                    assert text in self.seen, f"{text!r} did not appear in {self.seen!r}"

    def end(self) -> int:
        """Wait for the program; its exit status."""
        try:
            return self.process.wait(timeout=PATIENCE_S)
        finally:
            self.process.kill()
            os.close(self.master)
