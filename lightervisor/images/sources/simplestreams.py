"""The image source "simplestreams": plain web servers with a tree of JSON files, such as Ubuntu's.

The format is read by `client/simplestreams.py`. What was read of the last server is kept: those who ask at the same
time read it once, and a server that knows its documents by ETag or date sends them again only when they changed. What
it says wrongly of its files is found out by their hash. Source: LXD, simplestreams; RFC 9110, conditional requests.
"""

import asyncio
import time
from typing import Any

import msgspec
from msgspec import Struct, field

from lightervisor.client import simplestreams
from lightervisor.client.https import Peer, with_prefix
from lightervisor.config import architectures
from lightervisor.errors import Failure, NotFound, Unavailable
from lightervisor.images.partial import RemoteFile, refused
from lightervisor.images.sources.source import Found, Source, Tell, Tools, Wanted
from lightervisor.images.upload import Received
from lightervisor.model.image import Image

_ASKED_BY = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
_FAILED = "Failed getting remote image info: Failed getting image: "


class _Server(Struct, kw_only=True):
    """What is known of one server: its images, when that was asked, and what tells whether a document has changed."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    listed: list[dict[str, Any]] = []
    validators: dict[str, dict[str, str]] = {}


class Simplestreams(Source, protocol="simplestreams"):
    """A tree with streams/v1/index.json in it."""

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._last: tuple[tuple[str, ...], _Server] = ((), _Server())

    async def find(self, wanted: Wanted) -> Found:
        """What an alias, with or without an architecture behind it, or a fingerprint's beginning means there now."""
        try:
            listed = await self._listed(wanted)
        except Unavailable as failure:
            raise with_prefix(failure, f"{_FAILED}Failed parsing stream: ") from failure
        except Failure as failure:
            raise with_prefix(failure, _FAILED) from failure
        entry = simplestreams.find(listed, wanted.name, kind="container")
        if entry is None:
            text = "The requested image couldn't be found"
            raise NotFound("image", wanted.name, text=text, remedy="lxc image list of that remote shows what it has")
        image = msgspec.convert({key: value for key, value in entry.items() if key != "files"}, Image)
        files = tuple(
            RemoteFile(
                url=f"{wanted.server.rstrip('/')}/{file['path']}",
                size=file["size"],
                label="rootfs" if index or len(entry["files"]) == 1 else "metadata",
            )
            for index, file in enumerate(entry["files"])
        )
        is_alias = any(alias["name"] == wanted.name for alias in entry["aliases"])
        return Found(image=image, alias=wanted.name if is_alias else "", files=files)

    async def _listed(self, wanted: Wanted) -> list[dict[str, Any]]:
        architecture, asked_at = architectures.name_of(self.tools.architecture()), time.monotonic()
        key = (wanted.server, wanted.certificate, architecture)
        if self._last[0] != key:
            self._last = (key, _Server())
        server = self._last[1]
        async with server.reading:
            if server.read_at < asked_at:
                begun_at = time.monotonic()
                async with self.tools.outgoing.to(wanted.certificate) as peer:
                    if not await self._is_unchanged(peer, server):
                        await self._read(peer, wanted, server, architecture)
                server.read_at = begun_at
            return server.listed

    @staticmethod
    async def _is_unchanged(peer: Peer, server: _Server) -> bool:
        """Whether no document has changed, as far as the server can tell without sending them."""
        for url, validators in server.validators.items():
            if not validators:
                return False
            async with peer.request("GET", url, headers=validators) as response:
                if response.status != 304:
                    return False
        return bool(server.validators)

    async def _read(self, peer: Peer, wanted: Wanted, server: _Server, architecture: str) -> None:
        server.validators = {}
        base = wanted.server.rstrip("/")
        index = await self._document(peer, f"{base}/{simplestreams.INDEX}", server)
        paths = simplestreams.product_paths(index)
        documents = [await self._document(peer, f"{base}/{path}", server) for path in paths]
        default_os = simplestreams.default_os(wanted.server)
        server.listed = await asyncio.to_thread(
            simplestreams.images, documents, architecture=architecture, default_os=default_os
        )

    @staticmethod
    async def _document(peer: Peer, url: str, server: _Server) -> bytes:
        async with peer.request("GET", url) as response:
            if response.status != 200:
                raise refused(response)
            document = await peer.body(response, limit_bytes=simplestreams.LARGEST)
            told = {asks: response.headers[name] for name, asks in _ASKED_BY.items() if name in response.headers}
            server.validators[url] = told
            return document

    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """The metadata and the root file system, or one file."""
        async with self.tools.outgoing.to(wanted.certificate) as peer:
            meta = await self.tools.file(peer, found, 0, tell)
            if len(found.files) == 1:
                return Received(meta, None)
            return Received(meta, await self.tools.file(peer, found, 1, tell, after=meta))
