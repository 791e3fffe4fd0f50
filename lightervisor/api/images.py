"""/1.0/images. Source: LXD REST API, images."""

import asyncio
import os
from urllib.parse import parse_qsl

import msgspec
from aiohttp import MultipartWriter, web

from lightervisor.api import callers, envelope, etag, filters, image_forms, image_transfers, raw, urls
from lightervisor.api.requests import body, header, project, raw_body, recursion, requestor
from lightervisor.api.services import services
from lightervisor.auth.caller import refused
from lightervisor.images.upload import Received
from lightervisor.model.decode import decode
from lightervisor.model.image import Image, ImagePut
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


def _visible(request: web.Request, *, uses_secret: bool = False) -> Image:
    """The image asked for, if the caller may see it or has a secret for it. Raises NotFound."""
    found, wanted = services(request), request.match_info["fingerprint"]
    if secret := request.query.get("secret", ""):
        secrets, where = found.images_out.secrets, project(request)
        if (secrets.use if uses_secret else secrets.find)(wanted, where, secret) is not None:
            return found.images.get(wanted)
    return found.images.get(wanted, public_only=sees_public_only(request))


async def upload(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images: one file as the body, or metadata and rootfs as a form; or from where a JSON body says.

    Who is not of the project needs the secret that was given out for this very image.
    """
    found, where = services(request), project(request)
    secret, expected = header(request, "X-LXD-secret"), header(request, "X-LXD-fingerprint")
    is_data = request.content_type != "application/json"  # a secret lets an image in, and asks this server for nothing
    token = found.images_out.secrets.use(expected, where, secret) if secret and expected and is_data else None
    if token is None and sees_public_only(request):
        raise refused()
    if not is_data:
        return await image_transfers.fetch(request)
    if request.content_type == "multipart/form-data":
        received, filename = await image_forms.receive(request, found.images)
    else:
        received = Received(await found.images.receive(request.content.iter_chunked(BLOCK)), None)
        filename = header(request, "X-LXD-filename")
    put = ImagePut(
        public=header(request, "X-LXD-public") in ("1", "true"),
        properties=dict(parse_qsl(header(request, "X-LXD-properties"), keep_blank_values=True)),
        profiles=[name for _, name in parse_qsl(header(request, "X-LXD-profiles"))] or None,
    )
    promised = image_transfers.promised(token)

    async def work(run: Run) -> None:
        if promised is None:
            image = await found.images.add(received, put, filename=filename, expected=expected)
        else:
            image = await found.images_out.take_pushed(received, put, promised, filename=filename, expected=expected)
        run.update(fingerprint=image.fingerprint, size=str(image.size))

    # With a secret of its own, whoever pushed can wait for the end without being trusted.
    metadata = {"secret": os.urandom(32).hex()} if token else None
    return envelope.background(found.operations.start("Downloading image", work, project=where, metadata=metadata))


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
    image = _visible(request, uses_secret=True)
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
