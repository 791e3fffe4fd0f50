"""An image sent to another server, which gave a secret for it. Source: LXD, POST /1.0/images/{fingerprint}/export."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from msgspec import Struct

from lightervisor.client.https import Outgoing, Peer, plain
from lightervisor.errors import Failure, Invalid
from lightervisor.images.meter import Progress
from lightervisor.images.partial import Gauge
from lightervisor.images.store import ExportFile, Images
from lightervisor.model.image import Image, ImageExportPost
from lightervisor.model.operation import Operation

BLOCK = 1 << 20
_LARGEST = 1 << 20
_ASK_AGAIN_S = 20
_SUCCESS, _STILL_RUNNING = 200, 103


class _Envelope(Struct, frozen=True):
    error: str = ""
    metadata: Operation | None = None


async def push(images: Images, outgoing: Outgoing, fingerprint: str, post: ImageExportPost, progress: Progress) -> None:
    """Send the files of an image and wait until the other server has taken them in.

    Raises Unavailable when it cannot be reached, Failure with its own words when it refuses.
    """
    image = images.get(fingerprint)
    files = images.files(image.fingerprint)
    if not post.target:
        raise Invalid("image target", text="The server to push to is missing", remedy='give it as "target"')
    base = post.target.rstrip("/")
    query = f"?{urlencode({'project': post.project})}" if post.project else ""
    async with outgoing.to(post.certificate) as peer:
        gauge = Gauge("image", sum(file.path.stat().st_size for file in files), progress)
        headers = _headers(image, post, files[0].name)
        data: AsyncIterator[bytes] | aiohttp.MultipartWriter = _form(files, gauge)
        if len(files) == 1:
            headers["Content-Type"], data = "application/octet-stream", _blocks(files[0].path, gauge)
        answer = await _ask(peer, "POST", f"{base}/1.0/images{query}", headers, data)
        await _wait(peer, base, answer)


def _headers(image: Image, post: ImageExportPost, filename: str) -> dict[str, str]:
    headers = {
        "X-LXD-fingerprint": image.fingerprint,
        "X-LXD-secret": post.secret,
        "X-LXD-filename": filename,
    }
    if post.profiles:
        headers["X-LXD-profiles"] = urlencode([("profile", name) for name in post.profiles])
    # Incus knows the same headers by other names.
    return headers | {name.replace("X-LXD-", "X-Incus-"): value for name, value in headers.items()}


async def _ask(
    peer: Peer,
    method: str,
    url: str,
    headers: dict[str, str] | None = None,
    data: AsyncIterator[bytes] | aiohttp.MultipartWriter | None = None,
) -> Operation:
    async with peer.request(method, url, headers=headers, data=data) as response:
        body = await peer.body(response, limit_bytes=_LARGEST)
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid("image target", url, cause=f"it does not answer as LXD does: {error}") from error
    if response.status >= 400 or envelope.metadata is None:
        raise Failure("image", text=plain(envelope.error or f"{response.status} {response.reason}"))
    return envelope.metadata


async def _wait(peer: Peer, base: str, operation: Operation) -> None:
    secret = quote(str((operation.metadata or {}).get("secret", "")))
    url = f"{base}/1.0/operations/{quote(operation.id, safe='')}/wait?secret={secret}&timeout={_ASK_AGAIN_S}"
    while operation.status_code <= _STILL_RUNNING + 2:
        operation = await _ask(peer, "GET", url)
    if operation.status_code != _SUCCESS:
        raise Failure("image", text=plain(f'Failed operation "{operation.status}": "{operation.err}"'))


def _form(files: list[ExportFile], gauge: Gauge) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    for field, file in zip(("metadata", "rootfs"), files, strict=False):
        part = form.append(_blocks(file.path, gauge), {"Content-Type": "application/octet-stream"})
        part.set_content_disposition("form-data", name=field, filename=file.name)
    return form


async def _blocks(path: Path, gauge: Gauge) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb", buffering=0) as file:
        while block := await asyncio.to_thread(file.read, BLOCK):
            gauge.add(len(block))
            yield block
