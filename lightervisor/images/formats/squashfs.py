"""squashfs file systems: looked at and unpacked by squashfs-tools, confined. Source: unsquashfs(1), squashfs.rst."""

import contextlib
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lightervisor.errors import HostError, Invalid
from lightervisor.images.formats.format import Format
from lightervisor.images.metadata import LARGEST
from lightervisor.images.meter import Meter, no_space
from lightervisor.images.sandbox import OUTPUT, confined
from lightervisor.images.tar_members import damaged
from lightervisor.kernel import process

_LONGEST_S = 60
_POLL_S = 0.1
_SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_COMPRESSORS = range(1, 7)
_BLOCK_BITS = range(12, 21)
_NO_TABLE = (1 << 64) - 1


class Squashfs(Format, name="squashfs"):
    """A file system in a file, compressed by any of its compressors."""

    SUFFIX = ".squashfs"
    MAGIC = (0, b"hsqs")
    ALGORITHM = "squashfs"
    NEEDS_FILE = True

    def inspect(self, path: Path, meter: Meter, *, metadata: bool) -> bytes:
        """The superblock says how long the file has to be."""
        with path.open("rb") as file:
            check_superblock(file.read(_SUPERBLOCK.size), path.stat().st_size)
        if not metadata:
            return b""
        listed = self._run(path, "-lln", "metadata.yaml").decode(errors="replace").splitlines()
        lines = [
            line.split(maxsplit=5) for line in listed if line.endswith("/metadata.yaml") or "/metadata.yaml -> " in line
        ]
        if not lines:
            raise Invalid("image", text="Metadata tarball is missing metadata.yaml")
        if not lines[0][0].startswith("-"):
            raise Invalid("image", cause="its metadata.yaml is not a plain file")
        if not lines[0][2].isdigit() or int(lines[0][2]) > LARGEST:
            raise Invalid("image", cause=f"its metadata.yaml is larger than {LARGEST} bytes")
        return self._run(path, "-cat", "metadata.yaml")

    @staticmethod
    def _run(path: Path, option: str, name: str) -> bytes:
        words = ["unsquashfs", option, "/archive", name]
        try:
            return process.run(confined(words, archive=path), timeout_s=_LONGEST_S)
        except HostError as error:
            raise damaged(error.cause) from error

    def packer(self, level: str) -> Sequence[str]:
        """sqfstar, which goes back and forth in its file; all dates in the superblock are the same."""
        return ["sqfstar", "-force", "-comp", "zstd", "-mkfs-time", "0", "-no-progress", "-quiet", OUTPUT]

    def unpack(self, path: Path, target: Path, meter: Meter) -> None:
        """Run unsquashfs, looking at the space it leaves every moment."""
        words = ["unsquashfs", "-force", "-no-progress", "-dest", "/target", "/archive"]
        with tempfile.TemporaryFile(dir=path.parent) as said:
            child = process.spawn(confined(words, archive=path, target=target), stderr=said.fileno())
            with child:
                try:
                    while child.poll() is None:
                        meter.check()
                        with contextlib.suppress(process.Expired):
                            child.wait(_POLL_S)
                finally:
                    child.kill()
            meter.check()
            said.seek(0)
            _judge(said.read(1 << 20).decode(errors="replace"), child.returncode)


def check_superblock(head: bytes, size: int) -> None:
    """Look at the first bytes of a file of so many bytes. Raises Invalid when they cannot be those of a whole one.

    Source: kernel, fs/squashfs/squashfs_fs.h.
    """
    if len(head) < _SUPERBLOCK.size:
        raise damaged("it is shorter than it should be")
    fields = _SUPERBLOCK.unpack(head[: _SUPERBLOCK.size])
    inodes, block_size, compressor, block_bits, major = fields[1], fields[3], fields[5], fields[6], fields[9]
    used, (ids, attributes, *others) = fields[12], fields[13:]
    if used > size:
        raise damaged("it is shorter than it should be")
    if major != 4 or compressor not in _COMPRESSORS:
        raise Invalid("image", cause="this kind of squashfs is not known", remedy="make it with a current mksquashfs")
    tables = [ids, *others[:2], *(table for table in (attributes, *others[2:]) if table != _NO_TABLE)]
    if not inodes or block_bits not in _BLOCK_BITS or block_size != 1 << block_bits or max(tables) >= used:
        raise damaged("its superblock is wrong")


def _judge(said: str, status: int) -> None:
    """Status 2 is "not all could be done": only extended attributes that nobody may set are no reason to refuse."""
    if status == 0:
        return
    if "No space left" in said or "Disk quota exceeded" in said:
        raise no_space()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaints = [line for line in lines if "FATAL" in line or "xattr" not in line]
    if status == 2 and not complaints:
        return
    words = process.last_words("\n".join(complaints).encode(), status)
    raise Invalid("image", cause=f"the archive cannot be unpacked: {words}")
