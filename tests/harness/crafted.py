"""Archives made member by member, with what no packing program would put into one."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.harness import images

Build = Callable[[tarfile.TarFile], None]
COMPRESSORS = {
    "gz": ["gzip", "-c"],
    "bz2": ["bzip2", "-c"],
    "xz": ["xz", "-0c"],
    "lzma": ["xz", "--format=lzma", "-0c"],
    "zst": ["zstd", "-qc"],
    "lz4": ["lz4", "-qc"],
}


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", *, link: str = "", device: tuple[int, int] = (8, 0)
) -> Build:
    """Adds one member of any kind."""

    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname, info.mode = kind, len(data), link, 0o755
        info.devmajor, info.devminor = device
        archive.addfile(info, io.BytesIO(data))

    return add


def folder(name: str) -> Build:
    """Adds a directory."""
    return member(name, tarfile.DIRTYPE)


def link(name: str, target: str) -> Build:
    """Adds a symbolic link."""
    return member(name, tarfile.SYMTYPE, link=target)


def hard_link(name: str, target: str) -> Build:
    """Adds a hard link."""
    return member(name, tarfile.LNKTYPE, link=target)


def raw(block: bytes) -> Build:
    """Adds bytes as they are, where a header should be."""

    def add(archive: tarfile.TarFile) -> None:
        assert archive.fileobj is not None
        archive.fileobj.write(block)

    return add


def archive(*build: Build, metadata: str = images.METADATA) -> bytes:
    """A plain archive of exactly these members, a metadata.yaml before them unless that is empty."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as made:
        if metadata:
            images.add_file(made, "metadata.yaml", metadata.encode())
        for one in build:
            one(made)
    return out.getvalue()


def compressed(plain: bytes, suffix: str) -> bytes:
    """The same bytes, compressed as files of that suffix are; `tar` leaves them alone."""
    if suffix == "tar":
        return plain
    return subprocess.run(COMPRESSORS[suffix], input=plain, capture_output=True, check=True).stdout


def squashed(plain: bytes, place: Path) -> bytes:
    """What a plain archive holds as a squashfs; `place` is an empty directory to work in."""
    tree, out = place / "tree", place / "out.squashfs"
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-xpf", "-", "-C", tree], input=plain, check=True)
    subprocess.run(["mksquashfs", tree, out, "-quiet", "-no-progress"], check=True, capture_output=True)
    return out.read_bytes()
