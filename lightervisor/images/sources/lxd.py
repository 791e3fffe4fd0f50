"""The image source "lxd": the images of another server of LXD's API, public ones or one that a secret opens.

Source: LXD REST API, images.
"""

import re
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from msgspec import Raw, Struct

from lightervisor.client.https import Peer, plain, told, with_prefix
from lightervisor.errors import Failure, Invalid, NotFound, Unavailable, Unsupported
from lightervisor.images import upload
from lightervisor.images.partial import Gauge, RemoteFile
from lightervisor.images.sources.source import Found, Source, Tell, Wanted
from lightervisor.images.upload import Received
from lightervisor.model.image import Image, ImageAliasesEntry

_LARGEST = 4 << 20
Wire = TypeVar("Wire")


class _Envelope(Struct, frozen=True):
    metadata: Raw = Raw(b"null")
    error: str = ""


class Lxd(Source, protocol="lxd"):
    """Another LXD."""

    async def find(self, wanted: Wanted) -> Found:
        """What an alias or the beginning of a fingerprint means there now."""
        async with self.tools.outgoing.to(wanted.certificate) as peer:
            try:
                target = "" if wanted.secret else await self._target(peer, wanted)
                image = await self._get(peer, wanted, f"images/{_escaped(target or wanted.name)}", Image)
            except Unavailable as failure:
                raise with_prefix(failure, f'Failed to connect to LXD server "{wanted.server}": ') from failure
            except Failure as failure:
                raise with_prefix(failure, "Failed getting remote image info: ") from failure
        if not re.fullmatch("[0-9a-f]{64}", image.fingerprint):
            raise Invalid("image", image.fingerprint[:100], cause="the server's fingerprint is not a sha256")
        if target and image.fingerprint != target:
            raise Invalid("image", image.fingerprint, cause=f"the alias {wanted.name!r} stands for another one there")
        if image.type not in ("", "container"):
            raise Unsupported("image", wanted.name, cause="images of virtual machines are not offered")
        return Found(image=image, alias=wanted.name if target else "")

    async def _target(self, peer: Peer, wanted: Wanted) -> str:
        """The fingerprint of an alias, "" when it is none."""
        try:
            entry = await self._get(peer, wanted, f"images/aliases/{_escaped(wanted.name)}", ImageAliasesEntry)
        except NotFound:
            return ""
        return entry.target

    async def _get(self, peer: Peer, wanted: Wanted, path: str, kind: type[Wire]) -> Wire:
        async with peer.request("GET", _url(wanted, path)) as response:
            body = await peer.body(response, limit_bytes=_LARGEST)
            try:
                envelope = msgspec.json.decode(body, type=_Envelope)
                if response.status >= 400:
                    raise _failure(response, envelope.error)
                return msgspec.json.decode(envelope.metadata, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                cause = f"it does not answer as LXD does: {error}"
                raise Invalid("image server", wanted.server, cause=cause, remedy="is its protocol lxd?") from error

    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """The file, gone on with where it was interrupted, or both files, which come as a form."""
        url, forms = _url(wanted, f"images/{found.image.fingerprint}/export"), list[Received]()
        async with self.tools.outgoing.to(wanted.certificate) as peer:

            async def take_form(response: aiohttp.ClientResponse) -> bool:
                if response.status != 200 or response.content_type != "multipart/form-data":
                    return False
                forms.append(await self._form(peer, response, found.image.size, tell))
                return True

            file = RemoteFile(url=url, size=found.image.size)
            part = await self.tools.partials.fetch(peer, file, found.image.fingerprint, tell, instead=take_form)
        return forms[0] if part is None else Received(part, None)

    async def _form(self, peer: Peer, response: aiohttp.ClientResponse, size: int, tell: Tell) -> Received:
        reader = aiohttp.MultipartReader.from_response(response)
        gauge = Gauge("rootfs", response.content_length or 0, tell)
        received: Received | None = None
        try:
            while True:
                with told(response.method, str(response.url)):
                    part = await reader.next()
                if part is None:
                    break
                wanted = "rootfs" if received else "metadata"
                is_file = isinstance(part, aiohttp.BodyPartReader)
                if not is_file or part.name != wanted or (received and received.rootfs):
                    raise Invalid("image", text="Invalid multipart image")
                blocks = self._counted(peer, response, part, gauge, size - received.size if received else size)
                file = await upload.receive(self.tools.incoming, blocks, received.meta if received else None)
                received = Received(received.meta, file) if received else Received(file, None)
            if received is None or received.rootfs is None:
                raise Invalid("image", text="Invalid multipart image")
        except BaseException:
            if received is not None:
                received.discard()
            raise
        return received

    @staticmethod
    async def _counted(
        peer: Peer, response: aiohttp.ClientResponse, part: aiohttp.BodyPartReader, gauge: Gauge, most: int
    ) -> AsyncIterator[bytes]:
        seen = 0
        async for block in peer.blocks(response, lambda: part.read_chunk(upload.BLOCK)):
            seen += len(block)
            if seen > most:
                raise Invalid("image", cause="the server sends more than it said that the image has")
            gauge.add(len(block))
            yield block


def _url(wanted: Wanted, path: str) -> str:
    query = {key: value for key, value in (("project", wanted.project), ("secret", wanted.secret)) if value}
    return f"{wanted.server.rstrip('/')}/1.0/{path}{'?' if query else ''}{urlencode(query)}"


def _escaped(name: str) -> str:
    return quote(name, safe="")


def _failure(response: aiohttp.ClientResponse, text: str) -> Failure:
    kind = NotFound if response.status == 404 else Failure
    return kind("image", text=plain(text or f"{response.status} {response.reason}"))
