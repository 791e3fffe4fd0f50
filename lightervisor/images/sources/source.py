"""The contract of image sources: each reads one kind of place that images come from.

A source is one file here and one class, found by its protocol's name in this folder; adding one touches no other file.
`find` asks what a name means now, which is how freshness is checked; `fetch` brings the files. Neither decides what
is kept: who calls them compares the hash of all bytes with the fingerprint that was found, before anything enters the
store. Sources run on the event loop and may be cancelled at any point.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from lightervisor.client.https import Outgoing, Peer
from lightervisor.drivers import load
from lightervisor.errors import Invalid
from lightervisor.images.partial import Partials, RemoteFile
from lightervisor.images.upload import Part, Received
from lightervisor.model.image import Image

Tell = Callable[[str], None]


class Wanted(Struct, frozen=True, kw_only=True):
    """An image to be had, and where; `name` is an alias or the beginning of a fingerprint."""

    protocol: str
    server: str
    name: str
    certificate: str = ""
    secret: str = ""
    project: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """What a name means at its source now.

    `image` is what the source says of it; its fingerprint is empty when it is known only afterwards. `alias` is the
    name under which newer ones will appear, empty when it was asked for by its fingerprint. `files` are the metadata's
    and the root file system's, or one of both, where they can be had one by one.
    """

    image: Image
    alias: str = ""
    files: tuple[RemoteFile, ...] = ()


class Tools(Struct, frozen=True, kw_only=True):
    """What sources work with.

    The way out, files half downloaded, the directory where files are received, this server's version, and the
    architecture that is preferred now.
    """

    outgoing: Outgoing
    partials: Partials
    incoming: Path
    version: str
    architecture: Callable[[], str]

    async def file(self, peer: Peer, found: Found, index: int, tell: Tell, after: Part | None = None) -> Part:
        """One of the files that were found, whole. Raises what `Partials.fetch` does."""
        is_metadata = len(found.files) > 1 and index == 0
        name = found.image.fingerprint + (".metadata" if is_metadata else "")
        part = await self.partials.fetch(peer, found.files[index], name, tell, after=after)
        if part is None:
            raise RuntimeError("nothing else was to be done with the answer")
        return part


class Source(ABC):
    """One kind of place."""

    protocol: ClassVar[str]

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def __init_subclass__(cls, *, protocol: str) -> None:
        super().__init_subclass__()
        if protocol in _SOURCES:
            raise ValueError(f"image source {protocol} is registered twice")
        cls.protocol = protocol
        _SOURCES[protocol] = cls

    @abstractmethod
    async def find(self, wanted: Wanted) -> Found:
        """What the name means now. Raises NotFound, Unavailable when the source cannot be asked, Invalid."""

    @abstractmethod
    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """The files, in the store's own directories; nothing stays of them when it fails, but what can be resumed."""


_SOURCES: dict[str, type[Source]] = {}


@functools.cache
def _kinds() -> Mapping[str, type[Source]]:
    load(str(__package__))
    return _SOURCES


def sources(tools: Tools) -> dict[str, Source]:
    """One of each, by protocol."""
    return {protocol: kind(tools) for protocol, kind in _kinds().items()}


def unknown(protocol: str) -> Invalid:
    """The refusal of a protocol that nobody reads. Source: LXD's text."""
    remedy = f"known are: {', '.join(sorted(_kinds()))}"
    return Invalid("image source", protocol, text=f"Unsupported protocol: {protocol}", remedy=remedy)
