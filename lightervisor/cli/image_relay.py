"""An image from server to server through this client, for a target that cannot reach the source."""

from __future__ import annotations

import os

from lightervisor.cli import answers, progress, transfer
from lightervisor.client import light_json, light_multipart
from lightervisor.client.light import quote, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from lightervisor.cli.image_lookup import Found
    from lightervisor.cli.image_server import ImageServer
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Readable

_FILE = "application/octet-stream"


def from_server(session: Session, found: Found, target: Server, *, is_public: bool) -> str:
    """Send what one server exports to another as it comes, unless the other has it; the fingerprint."""
    image = found.image
    fingerprint = str(image["fingerprint"])
    if target.exists(url("images", fingerprint)):
        return fingerprint
    response = answers.check(found.server.request("GET", url("images", fingerprint, "export")))
    kind = response.headers.get("content-type", "")
    size = int(response.headers.get("content-length") or image.get("size", 0))
    try:
        headers = _headers(image, kind if light_multipart.boundary_of(kind) else _FILE, is_public=is_public)
        return _send(session, target, headers, _Stream(response.blocks()), size)
    finally:
        found.server.close()  # what of its answer was not read would be taken for the next one


def from_image_server(
    session: Session, server: ImageServer, image: dict[str, Any], target: Server, *, is_public: bool
) -> str:
    """Send the files of an image server's image to a server, unless that has it; the fingerprint.

    What is not as the list says ends the upload in the middle, and the target compares the whole with the fingerprint.
    """
    fingerprint = str(image["fingerprint"])
    if target.exists(url("images", fingerprint)):
        return fingerprint
    parts, size = list(server.download(image)), int(image["size"])
    try:
        if len(parts) == 1:
            return _send(session, target, _headers(image, _FILE, is_public=is_public), _Stream(parts[0][1]), size)
        form = light_multipart.Form(os.urandom(16).hex())
        root = "rootfs.img" if image["type"] == "virtual-machine" else "rootfs"
        for field, (name, blocks) in zip(("metadata", root), parts, strict=True):
            form.add(field, name, _Stream(blocks))
        form.finish()
        return _send(session, target, _headers(image, form.content_type, is_public=is_public), form, size)
    finally:
        server.web.close()


def _headers(image: dict[str, Any], kind: str, *, is_public: bool) -> dict[str, str]:
    properties = as_map(image.get("properties"))
    return {
        "Content-Type": kind,
        "X-LXD-fingerprint": str(image["fingerprint"]),
        "X-LXD-filename": str(image.get("filename", "")),
        "X-LXD-properties": "&".join(f"{quote(key)}={quote(value)}" for key, value in properties.items()),
        **({"X-LXD-public": "true"} if is_public else {}),
    }


def _send(session: Session, target: Server, headers: dict[str, str], body: Readable, size_bytes: int) -> str:
    line = progress.Line("Copying the image", is_shown=session.shows_progress())
    try:
        metered = transfer.Metered(body, transfer.Meter(line, size_bytes))
        envelope = light_json.loads(answers.content(target.request("POST", url("images"), headers, metered)))
    finally:
        line.done()
    operation = session.run(target, envelope, "Copying the image")
    return str(as_map(operation.get("metadata"))["fingerprint"])


class _Stream:
    """Blocks that arrive, to be read from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, size: int, /) -> bytes:
        """The next block, whatever its size; nothing at the end."""
        _ = size
        return next((block for block in self._blocks if block), b"")
