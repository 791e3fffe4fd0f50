"""The contract of archive formats, told apart by their first bytes, never by a name that somebody gave them.

A format is one file here and one class, found by listing the folder. `inspect` looks at an archive without
unpacking it and finds metadata.yaml; `unpack` fills an empty directory. Both refuse what is damaged with Invalid and
never let an archive reach a file outside: programs run in `images/sandbox.py`. `packer` is the other way: the program
that makes such a file out of a tar archive. Blocking; called on worker threads.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from lightervisor.drivers import load
from lightervisor.errors import Invalid
from lightervisor.images.meter import Meter

HEAD = 512


class Format(ABC):
    """One way to pack files into one; `SUFFIX` is what names of such files end in."""

    SUFFIX: ClassVar[str]
    MAGIC: ClassVar[tuple[int, bytes]]
    """Where the first bytes are, and what they are."""
    ALGORITHM: ClassVar[str]
    """What `compression_algorithm` calls it."""
    NEEDS_FILE: ClassVar[bool] = False
    """Whether it can only be written to a file, not to a pipe."""

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        if name:
            if name in _FORMATS:
                raise ValueError(f"archive format {name} is registered twice")
            _FORMATS[name] = cls

    @abstractmethod
    def inspect(self, path: Path, meter: Meter, *, metadata: bool) -> bytes:
        """Check that an archive is whole as far as that is cheap, and return its metadata.yaml if that is wanted.

        Raises Invalid when it is damaged, lacks metadata.yaml, or holds it, rootfs or templates as something else
        than a plain file and directories.
        """

    @abstractmethod
    def unpack(self, path: Path, target: Path, meter: Meter) -> None:
        """Unpack into an existing directory, owners, attributes and all. Raises Invalid, HostError without space."""

    @abstractmethod
    def packer(self, level: str) -> Sequence[str]:
        """The program that reads a tar archive and writes such a file to its output, or to sandbox.OUTPUT.

        `level` is how hard it tries, "-9", or empty. No words when the tar archive is the file.
        """

    def packer_sees(self) -> Mapping[Path, str]:
        """What that program needs beside the host's own programs: paths, and where it looks for each."""
        return {}


_FORMATS: dict[str, type[Format]] = {}


@functools.cache
def formats() -> tuple[Format, ...]:
    """One of each format."""
    load(str(__package__))
    return tuple(kind() for kind in _FORMATS.values())


def format_of(path: Path) -> Format:
    """The format of a file. Raises Invalid when it is none that is known."""
    with path.open("rb") as file:
        return format_beginning(file.read(HEAD))


def format_beginning(head: bytes) -> Format:
    """The format of what begins with these bytes, `HEAD` of them or all there are. Raises as `format_of`."""
    for one in formats():
        offset, magic = one.MAGIC
        if head[offset : offset + len(magic)] == magic:
            return one
    if not head:
        raise Invalid("image", cause="the file is empty")
    raise Invalid("image", text="Unsupported compression", remedy="give a tar archive or a squashfs file")


def format_named(algorithm: str) -> Format:
    """The format that `compression_algorithm` calls so, its level not looked at."""
    name = algorithm.partition(" ")[0]
    return next(one for one in formats() if name == one.ALGORITHM)
