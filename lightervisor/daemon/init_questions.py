"""Asking on the terminal, as LXD does: a wrong answer is said to be one and the question comes again."""

import getpass
import sys
from collections.abc import Callable

from lightervisor.errors import Invalid

Check = Callable[[str], str]
YES, NO = ("yes", "y"), ("no", "n")


class Asker:
    """Questions to a person; each takes what to print before the colon, without the default."""

    def text(self, question: str, default: str = "", check: Check | None = None) -> str:
        """A line; `check` gives the complaint about an answer, "" for a good one. Raises Invalid at the input's end."""
        shown = f"{question} [default={default}]: " if default else f"{question}: "
        while True:
            answer = self._line(shown) or default
            complaint = "" if answer else "it is empty"
            if answer and check is not None:
                complaint = check(answer)
            if not complaint:
                return answer
            self.say(f"Invalid input: {complaint}\n")

    def optional(self, question: str) -> str:
        """A line that may be empty."""
        return self._line(f"{question}: ")

    def yes(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        while True:
            answer = self._line(f"{question} (yes/no) [default={'yes' if default else 'no'}]: ").lower()
            if answer in ("", *YES, *NO):
                return default if answer == "" else answer in YES
            self.say("Invalid input, try again.\n")

    def password(self, question: str) -> str:
        """A secret, typed twice without being shown."""
        while True:
            first = getpass.getpass(f"{question}: ")
            if first == getpass.getpass("Again: ") != "":
                return first
            self.say("Invalid input, try again.\n")

    def say(self, text: str) -> None:
        """Tell something that is no question."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _line(self, shown: str) -> str:
        sys.stdout.write(shown)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stdout.write("\n")
            remedy = "with --auto nothing is asked"
            raise Invalid("lxd", text="the input ended before the last answer", remedy=remedy)
        return line.strip()
