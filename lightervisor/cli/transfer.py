"""Downloads into files, and how far an upload or a download is, on the progress line: per cent and speed."""

from __future__ import annotations

import os
import time

from lightervisor.cli import units
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lightervisor.cli.progress import Line
    from lightervisor.client.light_http import Readable

_INTERVAL_S = 0.1


class Meter:
    """Counts the bytes of a transfer and shows them; a total of 0 is one that is not known."""

    def __init__(self, line: Line, total_bytes: int) -> None:
        self._line, self._total, self._count = line, total_bytes, 0
        self._start = self._shown = time.monotonic()

    def add(self, size_bytes: int) -> None:
        """Some more have passed."""
        self._count += size_bytes
        now = time.monotonic()
        if now - self._shown >= _INTERVAL_S:
            self._shown = now
            self._line.show(told(self._count, self._total, now - self._start))

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.done()

    def file(self, file: Readable) -> Metered:
        """The same file, its reading counted."""
        return Metered(file, self)

    def blocks(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks, counted."""
        for block in blocks:
            self.add(len(block))
            yield block


def told(count_bytes: int, total_bytes: int, seconds: float) -> str:
    """`45% (12.34MB/s)`, or `12.34MB (1.23MB/s)` while the total is not known."""
    speed = units.decimal(int(count_bytes / seconds)) if seconds > 0 else "0B"
    if total_bytes <= 0:
        return f"{units.decimal(count_bytes)} ({speed}/s)"
    return f"{min(100, count_bytes * 100 // total_bytes)}% ({speed}/s)"


class Metered:
    """A file whose reading is counted."""

    def __init__(self, file: Readable, meter: Meter) -> None:
        self._file, self._meter = file, meter

    def read(self, size: int, /) -> bytes:
        """As the file's own."""
        data = self._file.read(size)
        self._meter.add(len(data))
        return data


def save(blocks: Iterator[bytes], path: Path) -> None:
    """Write a file; it is there whole or not at all. Raises CommandError where none can be.

    What is no file, as /dev/null, is written to and stays: a file in its place would harm the whole host.
    """
    is_file = not path.exists() or path.is_file() or path.is_dir()
    partial = path.with_name(f".{path.name}.{os.getpid()}") if is_file else path
    try:
        file = partial.open("wb")
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    try:
        with file:
            for block in blocks:
                file.write(block)
        if is_file:
            partial.replace(path)
    except BaseException:
        if is_file:
            partial.unlink()
        raise
