"""A program on a pseudo terminal, with somebody typing."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time


class Terminal:
    """A program on a pseudo terminal, as a person has it."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv, env={**os.environ, **env}, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.master, text.encode())

    def expect(self, text: str, timeout_s: float = 15) -> None:
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
            return self.process.wait(timeout=15)
        finally:
            self.process.kill()
            os.close(self.master)
