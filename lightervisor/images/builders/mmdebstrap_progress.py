"""How far mmdebstrap is, from what it says with --verbose: apt's and dpkg's own lines.

Packages come in two rounds, the essential ones and the rest; each is downloaded, unpacked and configured.
"""

import re
from collections.abc import Callable

STAGES = {
    "running apt-get update": "reading package lists",
    "downloading packages": "downloading",
    "extracting archives": "unpacking",
    "installing essential packages": "unpacking",
    "installing remaining packages": "installing",
    "running --customize-hook": "setting up",
    "cleaning package lists": "cleaning",
    "creating tarball": "packing",
}
_UNITS = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_SIZE = re.compile(r"([\d.,]+) ([kMG]?B)")
_COUNT = re.compile(r"(\d+) newly installed")


class Listener:
    """Takes mmdebstrap's lines and tells a new text whenever there is something new to show."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._said = tell, ""
        self._size = self._fetched = 0
        self._packages = self._unpacked = self._configured = 0

    def hear(self, line: str) -> None:
        """One line of its messages."""
        if line.startswith("I: "):
            self._stage(line[3:])
        elif line.startswith("Need to get "):
            self._size, self._fetched = _bytes(line), 0
        elif count := _COUNT.search(line):
            self._packages, self._unpacked, self._configured = int(count[1]), 0, 0
        elif line.startswith("Get:") and line.endswith("]"):
            self._fetched += _bytes(line[line.rindex("[") :])
            self._show("downloading", self._fetched, self._size)
        elif line.startswith("Unpacking "):
            self._unpacked += 1
            self._show("unpacking", self._unpacked, self._packages)
        elif line.startswith("Setting up "):
            self._configured += 1
            self._show("configuring", self._configured, self._packages)

    def _stage(self, text: str) -> None:
        for beginning, stage in STAGES.items():
            if text.startswith(beginning):
                self._size = 0
                self._say(stage)

    def _show(self, stage: str, part: int, whole: int) -> None:
        if whole:  # else it is something that was not counted: package lists, a hook's own package
            self._say(f"{stage} {min(100, 100 * part // whole)}%")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._tell(text)


def _bytes(text: str) -> int:
    """The first size in a line of apt's, which counts in thousands; 0 without one."""
    found = _SIZE.search(text)
    return round(float(found[1].replace(",", "")) * _UNITS[found[2]]) if found else 0
