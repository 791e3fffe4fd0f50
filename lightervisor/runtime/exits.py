"""The fifo into which hooks of containers write what becomes of them (see settings/hooks.py)."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

LARGEST = 1 << 16


class Exits:
    """Reads lines of two words, a container's name and "stop", "reboot" or a pid, and hands them to `told`.

    The fifo keeps its place when the daemon is started again: the hooks of running containers know it by name.
    """

    def __init__(self, path: Path, told: Callable[[str, str], None]) -> None:
        self.path, self._told, self._rest = path, told, b""
        if not path.exists() or not stat.S_ISFIFO(path.stat().st_mode):
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        # Open for writing as well, so that it never reads as ended.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def read(self) -> None:
        """Hand over what has been written until now."""
        try:
            data = self._rest + os.read(self._descriptor, LARGEST)
        except BlockingIOError:
            return
        *whole, self._rest = data.split(b"\n")
        for line in whole:
            name, _, word = line.decode(errors="replace").partition(" ")
            self._told(name, word)
