"""Files on their way into a tree of images: copied, hashed and looked at before they are offered."""

import bz2
import gzip
import hashlib
import lzma
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from lightervisor.errors import Invalid
from lightervisor.images import metadata as image_metadata
from lightervisor.images.formats.format import format_of
from lightervisor.images.meter import Meter
from lightervisor.images.tar_members import members
from lightervisor.model.image import ImageMetadata

_BLOCK = 1 << 20
_QCOW2 = b"QFI\xfb"
_ROOT_KINDS = {".squashfs": "squashfs", ".tar.xz": "root.tar.xz", ".qcow2": "disk-kvm.img"}


class File(NamedTuple):
    """A copy in the tree under a passing name: what it holds, the suffix of such files and its kind in the list."""

    path: Path
    sha256: str
    size: int
    suffix: str
    kind: str

    def listed(self, kind: str, path: str) -> dict[str, Any]:
        """How a version lists it."""
        return {"ftype": kind, "path": path, "sha256": self.sha256, "size": self.size}


class Incoming:
    """Copies in a folder, which are gone at the end unless they are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._partials = folder, list[Path]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for partial in self._partials:
            partial.unlink(missing_ok=True)

    def metadata(self, source: Path) -> tuple[ImageMetadata, File]:
        """Copy a tarball with metadata.yaml; what that says. Raises Invalid for anything else."""
        copy = self._copy(source)
        text = format_of(copy.path).inspect(copy.path, Meter(copy.size), metadata=True)
        return image_metadata.parse(text), copy

    def whole(self, source: Path) -> tuple[ImageMetadata, File]:
        """Copy an image of one file; what its metadata says. Raises Invalid when there is no root file system in it."""
        described, copy = self.metadata(source)
        if not _has_root(copy.path):
            remedy = "name the file with the root file system as well: add METADATA DATA"
            raise Invalid("image", cause=f"{source} has metadata, but no rootfs", remedy=remedy)
        return described, copy

    def root(self, source: Path) -> File:
        """Copy a root file system, or a disk. Raises Invalid for what LXD or Incus could not read."""
        copy = self._copy(source)
        with copy.path.open("rb") as file:
            is_disk = file.read(len(_QCOW2)) == _QCOW2
        suffix = ".qcow2" if is_disk else format_of(copy.path).SUFFIX
        if suffix not in _ROOT_KINDS:
            remedy = "pack it as squashfs (mksquashfs) or .tar.xz"
            raise Invalid("image", text=f'Unsupported data type "{suffix}"', remedy=remedy)
        if not is_disk:
            format_of(copy.path).inspect(copy.path, Meter(copy.size), metadata=False)
        return copy._replace(suffix=suffix, kind=_ROOT_KINDS[suffix])

    def keep(self, file: File, path: Path) -> None:
        """Give a copy its place, if nothing is there: what has the same name has the same hash."""
        if not path.exists():
            file.path.chmod(0o644)
            file.path.rename(path)

    def _copy(self, source: Path) -> File:
        partial = self._folder / f".{os.urandom(8).hex()}"
        self._partials.append(partial)
        with source.open("rb") as file, partial.open("xb") as target:
            shutil.copyfileobj(file, target, _BLOCK)
            target.flush()
            os.fsync(target.fileno())
        return File(partial, hashes_of(partial)[0], partial.stat().st_size, "", "")


def _has_root(path: Path) -> bool:
    """Whether an archive has a root file system beside its metadata; true where finding out takes a program."""
    readers = {".tar": open, ".tar.gz": gzip.open, ".tar.bz2": bz2.open, ".tar.xz": lzma.open}
    reader = readers.get(format_of(path).SUFFIX)
    if reader is None:
        return True
    with reader(path, "rb") as file:
        return any(member.name.partition("/")[0] in ("rootfs", "rootfs.img") for member in members(file.read))


def hashes_of(*paths: Path) -> tuple[str, str]:
    """The SHA-256 of the last file, and of all of them one after the other."""
    whole = hashlib.sha256()
    own = whole
    for path in paths:
        own = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                own.update(block)
                whole.update(block)
    return own.hexdigest(), whole.hexdigest()
