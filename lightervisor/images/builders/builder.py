"""The contract of image builders: each makes one family of images out of what the host has.

A builder works in the directory of its workshop and nowhere else, starts programs through it only, and may be
cancelled at any point: its programs are killed and the directory is removed by whoever made it. It is found by its
registered name in this folder; adding one touches no other file. Blocking; called on a worker thread.
"""

import functools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import yaml
from msgspec import Struct, to_builtins

from lightervisor.drivers import load
from lightervisor.errors import Failure, HostError
from lightervisor.kernel import process
from lightervisor.model.image import ImageMetadata, ImageMetadataTemplate

Tell = Callable[[str], None]


class Product(Struct, frozen=True, kw_only=True):
    """One image that can be built; `aliases` are its names, the first one being the one that is shown and kept."""

    aliases: tuple[str, ...]
    description: str
    os: str
    release: str
    variant: str = "default"

    @property
    def alias(self) -> str:
        """The name that is kept."""
        return self.aliases[0]


class Files(NamedTuple):
    """What was built: one unified archive, or metadata and root file system."""

    meta: Path
    rootfs: Path | None = None


class Workshop:
    """Where one image is built: an empty directory, a way to tell progress, programs that end when it is closed."""

    def __init__(self, directory: Path, tell: Tell) -> None:
        self.directory, self.tell = directory, tell
        self._running: set[process.Child] = set()
        self._guard = threading.Lock()
        self._closed = False

    def run(
        self,
        argv: Sequence[process.Argument],
        *,
        name: str = "",
        to: Path | None = None,
        hear: Tell | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program to its end, its output into a file, each line of its messages to `hear`.

        Raises HostError quoting its last words, with `name` for what is run by another; Failure when the workshop was
        closed.
        """
        words: list[bytes] = []
        output = os.open(to or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            child = self._start(argv, output, env)
        finally:
            os.close(output)
        with child:
            for line in child.stderr or ():
                words = [*words[-20:], line]
                if hear is not None:
                    hear(line.decode(errors="replace").strip())
        with self._guard:
            self._running.discard(child)
            if self._closed:
                raise Failure("image", cause="building was cancelled")
        if child.returncode != 0:
            errors = [line for line in words if line.startswith(b"E:")] or words
            cause = process.last_words(b"".join(errors[:1] if errors is not words else errors), child.returncode)
            raise HostError("program", name or os.fsdecode(argv[0]), cause=cause)

    def _start(self, argv: Sequence[process.Argument], output: int, env: Mapping[str, str] | None) -> process.Child:
        with self._guard:
            if self._closed:
                raise Failure("image", cause="building was cancelled")
            child = process.spawn(argv, stdout=output, stderr=process.PIPE, env=env, new_session=True)
            self._running.add(child)
            return child

    def close(self) -> None:
        """Kill what runs; nothing can be started afterwards."""
        with self._guard:
            self._closed = True
            for child in self._running:
                child.kill()


class Builder(ABC):
    """One family of images."""

    name: ClassVar[str]

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__()
        if name in _BUILDERS:
            raise ValueError(f"image builder {name} is registered twice")
        cls.name = name
        _BUILDERS[name] = cls

    @abstractmethod
    def products(self) -> list[Product]:
        """What this builder can make."""

    @abstractmethod
    def build(self, product: Product, architecture: str, workshop: Workshop) -> Files:
        """Make the image's files in the workshop's directory. Raises HostError with what is missing on this host."""


_BUILDERS: dict[str, type[Builder]] = {}


@functools.cache
def builders() -> tuple[Builder, ...]:
    """One of each builder, found by listing this folder."""
    load(str(__package__))
    return tuple(kind() for kind in _BUILDERS.values())


def metadata_text(
    product: Product, architecture: str, created_at: int, templates: Mapping[str, ImageMetadataTemplate]
) -> bytes:
    """The text of metadata.yaml, with the properties that images of LXD's servers have."""
    properties = {
        "architecture": architecture,
        "description": product.description,
        "name": product.alias.replace("/", "-"),
        "os": product.os,
        "release": product.release,
        "variant": product.variant,
    }
    document = ImageMetadata(
        architecture=architecture, creation_date=created_at, properties=properties, templates=dict(templates)
    )
    return yaml.safe_dump(to_builtins(document), sort_keys=False, width=1 << 20).encode()
