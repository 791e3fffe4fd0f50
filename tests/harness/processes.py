"""Programs that tests start: always with a time limit, never with the test's own standard input."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# How long a test waits for what it says will come: as long as a machine may take that has ten times this work to do.
PATIENCE_S = 60.0
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def ok(self) -> Done:
        """Itself when the program ended with 0; fails the test with what it said otherwise."""
        assert self.status == 0, f"{' '.join(self.argv)}: exit {self.status}\n{self.stdout}{self.stderr}"
        return self

    def failed(self, text: str = "") -> Done:
        """Itself when the program ended with something else than 0 and said `text` on its standard error."""
        assert self.status != 0, f"{' '.join(self.argv)}: succeeded\n{self.stdout}"
        assert text in self.stderr, f"{' '.join(self.argv)}: {text!r} is not in\n{self.stderr}"
        return self


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = 2 * PATIENCE_S,
) -> Done:
    """Run a program to its end; its output is decoded leniently."""
    words = tuple(str(word) for word in argv)
    done = subprocess.run(
        words,
        env={**os.environ, **(env or {})},
        input=stdin.encode(),
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def eventually(look: Callable[[], T], *, timeout_s: float = PATIENCE_S, what: str = "the condition") -> T:
    """The first true answer of `look`, asked ten times a second; fails the test when there is none in time."""
    limit = time.monotonic() + timeout_s
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < limit, f"{what} did not come true within {timeout_s} s (last answer: {answer!r})"
        time.sleep(0.1)


def signals(mask: str) -> int:
    """A mask of signals as /proc shows it, less 32 and 33.

    These are glibc's own: its posix_spawn has children ignore them, and its sigaction refuses to change them.
    """
    return int(mask, 16) & ~(0b11 << 31)
