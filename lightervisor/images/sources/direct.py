"""The image source "direct": one file of a web server, whose hash is told beforehand.

With a `url` source, a page's headers LXD-Image-URL and LXD-Image-Hash tell both. Source: LXD, image import by URL.
"""

import re
from urllib.parse import urljoin

from msgspec import Struct

from lightervisor.client.https import shown
from lightervisor.config import architectures
from lightervisor.errors import Invalid
from lightervisor.images.partial import RemoteFile, refused
from lightervisor.images.sources.source import Found, Source, Tell, Tools, Wanted
from lightervisor.images.upload import Received
from lightervisor.model.image import Image


class Direct(Source, protocol="direct"):
    """`server` is the file's URL, the name is its hash."""

    async def find(self, wanted: Wanted) -> Found:
        """The file that was named; nobody is asked. Raises Invalid when the name is no hash."""
        return Found(image=Image(fingerprint=_hash(wanted.name)), files=(RemoteFile(url=wanted.server),))

    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """The file, a unified image."""
        async with self.tools.outgoing.to(wanted.certificate) as peer:
            return Received(await self.tools.file(peer, found, 0, tell), None)


class Announcement(Struct, frozen=True, kw_only=True):
    """What a page's headers tell of an image; `filename` is the last part of its URL."""

    url: str
    fingerprint: str
    filename: str


async def announced(tools: Tools, url: str) -> Announcement:
    """What a page says of an image, which may depend on what this server is, so that is told.

    Raises Invalid when a header is missing or bad, Unavailable.
    """
    headers = {
        "LXD-Server-Architectures": ", ".join(architectures.runnable()),
        "LXD-Server-Version": tools.version,
    }
    async with tools.outgoing.to() as peer, peer.request("HEAD", url, headers=headers) as response:
        if response.status >= 400:
            raise refused(response)
        found, target = response.headers.get("LXD-Image-Hash", ""), response.headers.get("LXD-Image-URL", "")
        base = str(response.url)
    for name, value in (("LXD-Image-Hash", found), ("LXD-Image-URL", target)):
        if not value:
            raise Invalid("image URL", url, text=f"Missing {name} header", remedy=f"see what {shown(url)} is")
    target = urljoin(base, target)
    return Announcement(url=target, fingerprint=_hash(found), filename=shown(target).rpartition("/")[2])


def _hash(text: str) -> str:
    found = text.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise Invalid("image hash", text[:100], cause="it is not a sha256 in hexadecimal digits")
    return found
