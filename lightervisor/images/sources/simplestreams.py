"""The image source "simplestreams": plain web servers with a tree of JSON files, such as Ubuntu's.

The format is read by `client/simplestreams.py`. What was read is remembered for a minute, so that many launches at once
read it once; what a server says wrongly of its files is found out by their hash. Source: LXD, simplestreams.
"""

import asyncio
import time
from typing import Any

import msgspec

from lightervisor.client import simplestreams
from lightervisor.client.https import Peer, with_prefix
from lightervisor.config import architectures
from lightervisor.errors import Failure, NotFound, Unavailable
from lightervisor.images.partial import RemoteFile, refused
from lightervisor.images.sources.source import Found, Source, Tell, Tools, Wanted
from lightervisor.images.upload import Received
from lightervisor.model.image import Image

REMEMBERED_S = 60
_FAILED = "Failed getting remote image info: Failed getting image: "


class Simplestreams(Source, protocol="simplestreams"):
    """A tree with streams/v1/index.json in it."""

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._read: dict[tuple[str, str, str], tuple[float, list[dict[str, Any]]]] = {}
        self._reading: dict[tuple[str, str, str], asyncio.Lock] = {}

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
        architecture = self.tools.architecture()
        key = (wanted.server, wanted.certificate, architecture)
        async with self._reading.setdefault(key, asyncio.Lock()):
            read_at, listed = self._read.get(key, (float("-inf"), []))
            if time.monotonic() - read_at < REMEMBERED_S:
                return listed
            async with self.tools.outgoing.to(wanted.certificate) as peer:
                index = await self._document(peer, wanted, simplestreams.INDEX)
                documents = [await self._document(peer, wanted, path) for path in simplestreams.product_paths(index)]
            listed = await asyncio.to_thread(
                simplestreams.images,
                documents,
                architecture=architectures.name_of(architecture),
                default_os=simplestreams.default_os(wanted.server),
            )
            self._read = {key: (time.monotonic(), listed)}  # one server's: a list of Ubuntu's takes some megabytes
            return listed

    @staticmethod
    async def _document(peer: Peer, wanted: Wanted, path: str) -> bytes:
        async with peer.request("GET", f"{wanted.server.rstrip('/')}/{path}") as response:
            if response.status != 200:
                raise refused(response)
            return await peer.body(response, limit_bytes=simplestreams.LARGEST)

    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """The metadata and the root file system, or one file."""
        async with self.tools.outgoing.to(wanted.certificate) as peer:
            meta = await self.tools.file(peer, found, 0, tell)
            if len(found.files) == 1:
                return Received(meta, None)
            return Received(meta, await self.tools.file(peer, found, 1, tell, after=meta))
