"""GET /1.0/images/{fingerprint}/export: an image of the host, for instances that have others inside.

Source: LXD, guest API; compared with LXD 5.0.2, whose errors have the host API's envelope here.
"""

import asyncio

import msgspec
from aiohttp import MultipartWriter, web

from lightervisor.devlxd.connection import guests, instance_of, peer_of
from lightervisor.images.store import Images
from lightervisor.model.image import Image

STREAM = "application/octet-stream"
IMAGES = web.AppKey("images", Images)


class _Error(msgspec.Struct):
    """The host API's envelope of an error."""

    error: str
    error_code: int
    type: str = "error"
    status: str = ""
    status_code: int = 0
    operation: str = ""
    metadata: None = None


async def export(request: web.Request) -> web.StreamResponse:
    """The file, or as a form metadata and root file system; only of images that are public or cached."""
    guests(request).check_images(*instance_of(request))
    images, wanted = request.app[IMAGES], request.match_info["fingerprint"]
    image = _found(images, wanted)
    if image is None:
        return _failure(404, f'Image "{wanted}" not found')
    exports = peer_of(request).guest.exports
    if exports.locked():
        return _failure(503, "Too many images are being read at once")
    async with exports:
        files = images.files(image.fingerprint)
        if len(files) == 1:
            disposition = {"Content-Disposition": f"inline;filename={files[0].name}", "Content-Type": STREAM}
            response = web.FileResponse(files[0].path, headers=disposition)
            return await _sent(request, response)
        form = MultipartWriter("form-data")
        for field, file in zip(("metadata", "rootfs"), files, strict=True):
            part = form.append(await asyncio.to_thread(file.path.open, "rb"), {"Content-Type": STREAM})
            part.set_content_disposition("form-data", name=field, filename=file.name)
        return await _sent(request, web.Response(body=form))


async def _sent(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send all of it while the place is held."""
    await response.prepare(request)
    await response.write_eof()
    return response


def _found(images: Images, wanted: str) -> Image | None:
    """The one image with this beginning of a fingerprint among those that guests may see."""
    visible = [image for image in images.list() if image.public or image.cached]
    found = [image for image in visible if wanted and image.fingerprint.startswith(wanted)]
    return found[0] if len(found) == 1 else None


def _failure(code: int, text: str) -> web.Response:
    body = msgspec.json.encode(_Error(error=text, error_code=code)) + b"\n\n"
    return web.Response(status=code, body=body, content_type="application/json")


ROUTES = [web.get("/1.0/images/{fingerprint}/export", export, allow_head=False)]
