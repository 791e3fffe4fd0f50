"""/1.0/images. Source: LXD REST API, images."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web

from lightervisor.api import envelope, etag, filters
from lightervisor.api.requests import body, project, recursion, requestor
from lightervisor.api.services import services
from lightervisor.errors import Invalid, Unsupported
from lightervisor.images.store import Received
from lightervisor.model.image import Image, ImageAliasesEntry, ImageAliasesEntryPost, ImageAliasesEntryPut, ImagePut
from lightervisor.operations.operations import Run

BLOCK = 1 << 20


def _etag(image: Image) -> str:
    return etag.of([image.public, image.auto_update, image.properties])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images."""
    project(request)
    found = filters.matching(request.query.get("filter", ""), services(request).images.list())
    return envelope.sync(found if recursion(request) else [f"/1.0/images/{image.fingerprint}" for image in found])


async def built(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/build: what this host can build (extension image_source_build)."""
    return envelope.sync(services(request).built.catalog())


async def upload(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images: one file as the body, or metadata and rootfs as a form."""
    found = services(request)
    if request.content_type == "application/json":
        raise Unsupported("image source", cause="only uploads are offered so far", remedy="lxc image import FILE")
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


async def _form(request: web.Request) -> tuple[Received, str]:
    images = services(request).images
    reader = await request.multipart()
    files: dict[str, Path] = {}
    filename = ""
    async for part in reader:
        if not isinstance(part, BodyPartReader) or part.name not in ("metadata", "rootfs"):
            raise Invalid("image", text="Invalid multipart image")
        filename = filename or part.filename or ""
        files[part.name] = await images.receive(_blocks(part))
    if "metadata" not in files:
        raise Invalid("image", text="Invalid multipart image")
    return Received(files["metadata"], files.get("rootfs")), filename


async def _blocks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while block := await part.read_chunk(BLOCK):
        yield block


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/{fingerprint}."""
    image = services(request).images.get(request.match_info["fingerprint"])
    return envelope.sync(image, etag=_etag(image))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/images/{fingerprint}."""
    images, fingerprint = services(request).images, request.match_info["fingerprint"]
    put = await body(request, ImagePut)
    etag.check(request.headers.get("If-Match"), _etag(images.get(fingerprint)))
    await images.replace(fingerprint, put, requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/images/{fingerprint}."""
    found, who = services(request), requestor(request)
    image = found.images.get(request.match_info["fingerprint"])

    async def work(_run: Run) -> None:
        await found.images.delete(image.fingerprint, [found.pools.driver(pool.name) for pool in found.pools.list()])
        found.images.publish("deleted", image.fingerprint, who)

    resources = {"images": [f"/1.0/images/{image.fingerprint}"]}
    return envelope.background(found.operations.start("Deleting image", work, resources=resources))


async def export(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/{fingerprint}/export: the file, or both as a form."""
    files = services(request).images.files(request.match_info["fingerprint"])
    if len(files) > 1:
        raise Unsupported("image", cause="exporting split images is not offered yet")
    name = files[0].name
    headers = {"Content-Disposition": f"inline;filename={name}", "Content-Type": "application/octet-stream"}
    return web.FileResponse(files[0].path, headers=headers)


async def aliases(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/aliases."""
    found = services(request).images.rows.aliases()
    return envelope.sync(found if recursion(request) else [f"/1.0/images/aliases/{alias.name}" for alias in found])


async def add_alias(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/aliases."""
    entry = await body(request, ImageAliasesEntry)
    await services(request).images.rows.add_alias(entry)
    return envelope.created(f"/1.0/images/aliases/{entry.name}")


async def show_alias(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/aliases/{name}."""
    return envelope.sync(services(request).images.rows.alias(request.match_info["name"]))


async def replace_alias(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/images/aliases/{name}."""
    name, put = request.match_info["name"], await body(request, ImageAliasesEntryPut)
    await services(request).images.rows.replace_alias(name, name, put.description, put.target)
    return envelope.sync()


async def rename_alias(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/aliases/{name}."""
    rows, post = services(request).images.rows, await body(request, ImageAliasesEntryPost)
    entry = rows.alias(request.match_info["name"])
    await rows.replace_alias(entry.name, post.name, entry.description, entry.target)
    return envelope.created(f"/1.0/images/aliases/{post.name}")


async def delete_alias(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/images/aliases/{name}."""
    await services(request).images.rows.delete_alias(request.match_info["name"])
    return envelope.sync()


ALIAS = "/1.0/images/aliases/{name:.+}"
ROUTES = [
    web.get("/1.0/images", everything),
    web.post("/1.0/images", upload),
    web.get("/1.0/images/build", built),
    web.get("/1.0/images/aliases", aliases),
    web.post("/1.0/images/aliases", add_alias),
    web.get(ALIAS, show_alias),
    web.put(ALIAS, replace_alias),
    web.post(ALIAS, rename_alias),
    web.delete(ALIAS, delete_alias),
    web.get("/1.0/images/{fingerprint}", show),
    web.put("/1.0/images/{fingerprint}", replace),
    web.delete("/1.0/images/{fingerprint}", delete),
    web.get("/1.0/images/{fingerprint}/export", export),
]
