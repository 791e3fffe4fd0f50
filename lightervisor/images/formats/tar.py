"""Tar archives, plain and compressed; the native programs read them, the bytes pass through us to be counted.

Each part of the pipeline runs confined: the program that decompresses sees no directory at all, tar sees the target.
Bytes go from pipe to pipe inside the kernel. Source: tar(1), splice(2).
"""

import contextlib
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, ClassVar

from lightervisor.errors import HostError, Invalid
from lightervisor.images.formats.format import Format
from lightervisor.images.metadata import LARGEST
from lightervisor.images.meter import Meter
from lightervisor.images.sandbox import confined
from lightervisor.images.tar_members import DIRECTORY, Read, damaged, members
from lightervisor.images.tar_stream import BLOCK, Passing, extracting, pour, text_of, words
from lightervisor.kernel import process

_LIST_S = 60
_LAST_WORDS_S = 0.5
_BROKEN_PIPE = (-13, 128 + 13)


class Tar(Format, name="tar"):
    """A tar archive that is not compressed."""

    SUFFIX = ".tar"
    MAGIC = (257, b"ustar")
    ALGORITHM = "none"
    COMPRESS: ClassVar[tuple[str, ...]] = ()
    DECOMPRESS: ClassVar[tuple[str, ...]] = ()
    LIST: ClassVar[tuple[str, ...]] = ()
    """A program that can tell a truncated file without decompressing it; without one the file is read whole."""

    def inspect(self, path: Path, meter: Meter, *, metadata: bool) -> bytes:
        """Walk through the members, to the end unless `LIST` can tell that the file is whole."""
        if self.LIST:
            self._list(path, meter)
            if not metadata:
                return b""
        with self._plain(path, meter) as stream:
            text = _search(_counted(stream, meter), to_the_end=not self.LIST, metadata=metadata)
            if self.LIST:
                return text
            while block := stream.read(BLOCK):
                meter.written(len(block))
        return text

    def _list(self, path: Path, meter: Meter) -> None:
        try:
            listed = process.run(confined([*self.LIST, "/archive"], archive=path), timeout_s=_LIST_S)
        except HostError as error:
            raise damaged(error.cause) from error
        for line in listed.splitlines():  # only xz tells how large it becomes
            fields = line.split(b"\t")
            if fields[0] == b"totals" and fields[4].isdigit():
                meter.written(int(fields[4]))

    @contextmanager
    def _plain(self, path: Path, meter: Meter) -> Generator[IO[bytes], None, None]:
        """The stream of the tar archive. Raises Invalid at its end if the program that decompresses has failed."""
        with (
            path.open("rb") as file,
            meter.following(file.fileno()),
            self._decompressed(file, path.parent) as stream,
        ):
            yield stream

    @contextmanager
    def _decompressed(self, file: IO[bytes], scratch: Path) -> Generator[IO[bytes], None, None]:
        if not self.DECOMPRESS:
            yield file
            return
        with tempfile.TemporaryFile(dir=scratch) as said:
            child = process.spawn(
                confined(self.DECOMPRESS), stdin=file.fileno(), stdout=process.PIPE, stderr=said.fileno()
            )
            finished = False
            with child:
                if child.stdout is None:
                    raise HostError("program", self.DECOMPRESS[0])
                try:
                    yield child.stdout
                    finished = not child.stdout.read(1)
                except Invalid as error:
                    child.stdout.close()
                    with contextlib.suppress(process.Expired):
                        child.wait(_LAST_WORDS_S)
                    if child.returncode and child.returncode not in _BROKEN_PIPE:
                        raise damaged(words(said, child.returncode)) from error
                    raise
                finally:
                    child.stdout.close()
                    if not finished:
                        child.kill()
                if finished and child.wait() != 0:
                    raise damaged(words(said, child.returncode))

    def first(self, path: Path, meter: Meter, name: str, *, largest: int) -> bytes | None:
        """The bytes of the first member of this name, None without one; reads no further than it has to.

        Raises Invalid when it is no plain file or too large, and for a damaged archive.
        """
        with self._plain(path, meter) as stream:
            for member in members(_counted(stream, meter)):
                if member.name == name:
                    return text_of(member, largest)
        return None

    def packer(self, level: str) -> Sequence[str]:
        """What compresses; a tar archive needs nothing more."""
        return [*self.COMPRESS, *([level] if level else [])] if self.COMPRESS else []

    def unpack(self, path: Path, target: Path, meter: Meter, *, only: Sequence[str] = ()) -> None:
        """Decompress into tar, counting; `only` these members and what is below them, or all."""
        with self._plain(path, meter) as stream, extracting(target, path.parent, only) as sink:
            pour(stream, sink, meter)

    @contextmanager
    def passing(self, pipe: int, scratch: Path, meter: Meter) -> Generator[Passing, None, None]:
        """An archive that comes through a pipe, which stays the caller's to close. Raises as `unpack`."""
        with open(pipe, "rb", buffering=0, closefd=False) as file, self._decompressed(file, scratch) as stream:
            yield Passing(stream, scratch, meter)


def _counted(stream: IO[bytes], meter: Meter) -> Read:
    def read(count: int) -> bytes:
        block = stream.read(count)
        meter.written(len(block))
        return block

    return read


def _search(read: Read, *, to_the_end: bool, metadata: bool) -> bytes:
    text: bytes | None = None
    for member in members(read):
        if not metadata:
            continue
        if member.name == "metadata.yaml" and text is None:
            text = text_of(member, LARGEST)
            if not to_the_end:
                return text
        if member.name in ("rootfs", "templates") and member.type != DIRECTORY:
            raise Invalid("image", cause=f"its {member.name} is not a directory")
    if metadata and text is None:
        raise Invalid("image", text="Metadata tarball is missing metadata.yaml")
    return text or b""


def _compressed(
    algorithm: str, name: str, magic: bytes, compress: str, decompress: str, *, listing: str = ""
) -> type[Tar]:
    """A tar archive behind programs that compress and decompress from their input to their output."""

    class Compressed(Tar, name=name):
        SUFFIX = f".tar.{name}"
        MAGIC = (0, magic)
        ALGORITHM = algorithm
        COMPRESS = tuple(compress.split())
        DECOMPRESS = tuple(decompress.split())
        LIST = tuple(listing.split())

    return Compressed


# What is made does not depend on the moment nor on how many cores there are.
_compressed("bzip2", "bz2", b"BZh", "bzip2 -c", "bzip2 -dc")
_compressed(
    "xz", "xz", b"\xfd7zXZ\0", "xz -c -T0 --memlimit-compress=3GiB", "xz -dc -T0 -M1GiB", listing="xz --robot --list"
)
_compressed("lzma", "lzma", b"\x5d\0\0", "xz --format=lzma -c", "xz --format=lzma -dc -M1GiB")
_compressed("zstd", "zst", b"\x28\xb5\x2f\xfd", "zstd -cq -T0", "zstd -dcq", listing="zstd --list")
_compressed("lz4", "lz4", b"\x04\x22\x4d\x18", "lz4 -cq", "lz4 -dcq")
