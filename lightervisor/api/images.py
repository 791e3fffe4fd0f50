"""/1.0/images. Source: LXD REST API, images."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, MultipartWriter, web

from lightervisor.api import callers, envelope, etag, filters, raw, urls
from lightervisor.api.requests import body, project, raw_body, recursion, requestor
from lightervisor.api.services import services
from lightervisor.auth.caller import refused
from lightervisor.errors import Invalid, Unsupported
from lightervisor.images.upload import Received
from lightervisor.model.decode import decode
from lightervisor.model.image import Image, ImagePut, ImagesPost
from lightervisor.operations.operations import Run

BLOCK = 1 << 20


def _etag(image: Image) -> str:
    return etag.of([image.public, image.auto_update, image.properties])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images; who is not of the project sees the public ones."""
    listed = services(request).images.list(public_only=sees_public_only(request))
    found = await filters.matching(request.query.get("filter", ""), listed)
    return envelope.sync(found if recursion(request) else [urls.of("images", image.fingerprint) for image in found])


def sees_public_only(request: web.Request) -> bool:
    """Whether private images of the project asked for are hidden from the caller. Raises NotFound for the project."""
    return not callers.of(request).may_enter(project(request))


def _visible(request: web.Request) -> Image:
    """The image asked for, if the caller may see it. Raises NotFound."""
    return services(request).images.get(request.match_info["fingerprint"], public_only=sees_public_only(request))


async def upload(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images: one file as the body, or metadata and rootfs as a form."""
    found = services(request)
    if sees_public_only(request):
        raise refused()
    if request.content_type == "application/json":
        return await _fetch(request)
    if request.content_type == "multipart/form-data":
        received, filename = await _form(request)
    else:
        received = Received(await found.images.receive(request.content.iter_chunked(BLOCK)), None)
        filename = request.headers.get("X-LXD-filename", "")
    put = ImagePut(
        public=request.headers.get("X-LXD-public", "") in ("1", "true"),
        properties=dict(parse_qsl(request.headers.get("X-LXD-properties", ""), keep_blank_values=True)),
    )
    expected = request.headers.get("X-LXD-fingerprint", "")

    async def work(run: Run) -> None:
        image = await found.images.add(received, put, filename=filename, expected=expected)
        run.update(fingerprint=image.fingerprint, size=str(image.size))

    return envelope.background(found.operations.start("Downloading image", work, project=project(request)))


async def _fetch(request: web.Request) -> web.StreamResponse:
    """Take an image from where the body says; so far what this host can build."""
    found, post = services(request), await body(request, ImagesPost)
    source = post.source
    if source is None or (source.type, source.protocol) != ("image", "build"):
        remedy = "lxc image import FILE, or lxc image copy --mode relay"
        raise Unsupported("image source", cause="only uploads and build: are offered so far", remedy=remedy)

    async def work(run: Run) -> None:
        image = await found.built.keep(post, source, lambda text: run.progress("download_progress", text))
        run.update(fingerprint=image.fingerprint, size=str(image.size))

    return envelope.background(
        found.operations.start("Downloading image", work, project=project(request), cancellable=True)
    )


async def _form(request: web.Request) -> tuple[Received, str]:
    """The parts of a form, metadata first; what was received of a bad one is removed."""
    images = services(request).images
    received: Received | None = None
    filename = ""
    try:
        async for part in await request.multipart():
            wanted = "rootfs" if received else "metadata"
            if not isinstance(part, BodyPartReader) or part.name != wanted or (received and received.rootfs):
                raise Invalid("image", text="Invalid multipart image")
            filename = filename or part.filename or ""
            file = await images.receive(_blocks(part), received.meta if received else None)
            received = Received(received.meta, file) if received else Received(file, None)
        if received is None:
            raise Invalid("image", text="Invalid multipart image")
    except BaseException as error:
        if received is not None:
            received.discard()
        if isinstance(error, ValueError):  # aiohttp's, for what is no form
            raise Invalid("image", text="Invalid multipart image", remedy=str(error)[:200]) from error
        raise
    return received, filename


async def _blocks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while block := await part.read_chunk(BLOCK):
        yield block


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/{fingerprint}."""
    image = _visible(request)
    return envelope.sync(image, etag=_etag(image))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/images/{fingerprint}."""
    images, fingerprint = services(request).images, request.match_info["fingerprint"]
    put = await body(request, ImagePut)
    etag.check(request.headers.get("If-Match"), _etag(images.get(fingerprint)))
    await images.replace(fingerprint, put, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/images/{fingerprint}: what is not given stays, properties are merged by key."""
    images, text = services(request).images, await raw_body(request)
    image = images.get(request.match_info["fingerprint"])
    etag.check(request.headers.get("If-Match"), _etag(image))
    given, put = decode(text, dict[str, object]), decode(text, ImagePut)
    kept = {name: getattr(image, name) for name in ImagePut.__struct_fields__ if name not in given}
    kept["properties"] = {**image.properties, **put.properties}
    await images.replace(image.fingerprint, msgspec.structs.replace(put, **kept), requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/images/{fingerprint}."""
    found, who = services(request), requestor(request)
    image = found.images.get(request.match_info["fingerprint"])

    async def work(_run: Run) -> None:
        await found.images.delete(image.fingerprint, [found.pools.driver(pool.name) for pool in found.pools.list()])
        found.images.publish("deleted", image.fingerprint, who)

    resources = {"images": [urls.of("images", image.fingerprint)]}
    return envelope.background(found.operations.start("Deleting image", work, resources=resources))


async def export(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/{fingerprint}/export: the file, or as a form metadata and root file system."""
    image = _visible(request)
    files = services(request).images.files(image.fingerprint)
    services(request).images.publish("retrieved", image.fingerprint, requestor(request))
    if len(files) == 1:
        with await asyncio.to_thread(files[0].path.open, "rb") as file:
            return await raw.descriptor(request, file.fileno(), raw.headers_of(files[0].name))
    form = MultipartWriter("form-data")
    for field, file in zip(("metadata", "rootfs"), files, strict=True):
        part = form.append(await asyncio.to_thread(file.path.open, "rb"), {"Content-Type": raw.STREAM})
        part.set_content_disposition("form-data", name=field, filename=file.name)
    return web.Response(body=form)


ROUTES = [
    web.get("/1.0/images", everything),
    web.post("/1.0/images", upload),
    web.get("/1.0/images/{fingerprint}", show),
    web.put("/1.0/images/{fingerprint}", replace),
    web.patch("/1.0/images/{fingerprint}", merge),
    web.delete("/1.0/images/{fingerprint}", delete),
    web.get("/1.0/images/{fingerprint}/export", export),
]
