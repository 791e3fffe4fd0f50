"""A tar archive that goes by once: looked at where it begins, and unpacked by tar, which is confined.

Bytes go from pipe to pipe inside the kernel, and are counted on their way. Source: tar(1), splice(2).
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lightervisor.errors import HostError, Invalid
from lightervisor.images.meter import Meter, no_space
from lightervisor.images.sandbox import confined, makes_devices
from lightervisor.images.tar_members import DIRECTORY, REGULAR, Member, members
from lightervisor.kernel import process

BLOCK = 1 << 20
EXTRACT = (
    "tar", "--extract", "--file=-", "--directory=/target", "--numeric-owner", "--same-owner", "--preserve-permissions",
    "--delay-directory-restore", "--acls", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.*",
)  # fmt: skip
# trusted.overlay.* on an image's files would be orders to overlayfs. Source: overlayfs.rst, "metadata only copy up".
NO_DEVICES = ("--exclude=dev/*", "--exclude=./dev/*", "--exclude=rootfs/dev/*", "--exclude=./rootfs/dev/*")


class Passing:
    """One such archive; nothing else may read from `stream`."""

    def __init__(self, stream: IO[bytes], scratch: Path, meter: Meter) -> None:
        self._stream, self._scratch, self._meter = stream, scratch, meter
        self._seen = bytearray()

    def first(self, name: str, *, largest: int) -> bytes | None:
        """The bytes of the first member that is no directory, None when it has another name or there is none.

        Raises Invalid when it is no plain file or too large, and for a damaged archive.
        """
        for member in members(self._read):
            if member.name == name:
                return text_of(member, largest)
            if member.type != DIRECTORY:
                return None
        return None

    def _read(self, count: int) -> bytes:
        """So many bytes, fewer at the end: not one that is to be poured may be in a buffer of ours."""
        found = bytearray()
        while len(found) < count and (block := os.read(self._stream.fileno(), count - len(found))):
            found += block
        self._meter.written(len(found))
        self._seen += found
        return bytes(found)

    def unpack(self, target: Path, meter: Meter) -> None:
        """All of it, what was looked at too. Raises Invalid, HostError without space."""
        with extracting(target, self._scratch) as sink:
            with contextlib.suppress(BrokenPipeError):
                sink.write(self._seen)
                sink.flush()
            pour(self._stream, sink, meter)


@contextmanager
def extracting(target: Path, scratch: Path, only: Sequence[str] = ()) -> Generator[IO[bytes], None, None]:
    """What is written to this is unpacked; `only` these members and what is below them, or all.

    Raises Invalid, HostError without space.
    """
    argv = [*EXTRACT, *(() if makes_devices() else NO_DEVICES), "--", *only]
    with tempfile.TemporaryFile(dir=scratch) as said:
        child = process.spawn(confined(argv, target=target), stdin=process.PIPE, stderr=said.fileno())
        with child:
            if child.stdin is None:
                raise HostError("program", "tar")
            try:
                yield child.stdin
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()
                child.wait()
            finally:
                child.kill()
        if child.returncode != 0:
            _fail(words(said, child.returncode))


def pour(stream: IO[bytes], sink: IO[bytes], meter: Meter) -> None:
    """All that is left of one pipe or file into another pipe; nobody may have read from it through a buffer."""
    source, target = stream.fileno(), sink.fileno()
    for pipe in (source, target):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, BLOCK)
    with contextlib.suppress(BrokenPipeError):  # tar has given up: its status says why
        while count := os.splice(source, target, BLOCK):
            meter.written(count)


def text_of(member: Member, largest: int) -> bytes:
    """The bytes of a member. Raises Invalid for what is no plain file, or larger."""
    if member.type != REGULAR:
        raise Invalid("image", cause=f"its {member.name} is not a plain file")
    if member.size > largest:
        raise Invalid("image", cause=f"its {member.name} is larger than {largest} bytes")
    return member.data()


def words(said: IO[bytes], status: int) -> str:
    """What a program that reads archives said last into a file, or how it ended."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 4096))
    text = said.read()
    lines = [
        line for line in text.splitlines() if b"Exiting with failure" not in line and b"not recoverable" not in line
    ]
    return process.last_words(b"\n".join(lines), status)


def _fail(words: str) -> None:
    if "No space left" in words or "Disk quota exceeded" in words:
        raise no_space()
    raise Invalid("image", cause=f"the archive cannot be unpacked: {words}")
