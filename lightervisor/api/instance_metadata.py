"""/1.0/instances/{name}/metadata and its templates. Source: LXD REST API, instance metadata."""

from aiohttp import web

from lightervisor.api import envelope, etag, raw
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, raw_body, requestor
from lightervisor.api.services import offered, services
from lightervisor.errors import Invalid
from lightervisor.instances.metadata import Metadata
from lightervisor.model.image import ImageMetadata


def _metadata(request: web.Request) -> Metadata:
    return offered(services(request).metadata, "instance metadata")


async def _check_unchanged(request: web.Request) -> None:
    if given := request.headers.get("If-Match"):
        etag.check(given, etag.of(await _metadata(request).get(*named(request))))


async def show(request: web.Request) -> web.StreamResponse:
    """GET: the parsed metadata.yaml."""
    found = await _metadata(request).get(*named(request), requestor(request))
    return envelope.sync(found, etag=etag.of(found))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT: write metadata.yaml."""
    put = await body(request, ImageMetadata)
    await _check_unchanged(request)
    await _metadata(request).replace(*named(request), put, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH: write metadata.yaml with the given fields changed."""
    fields = await body(request, dict[str, object])
    await _check_unchanged(request)
    await _metadata(request).merge(*named(request), fields, requestor(request))
    return envelope.sync()


async def templates(request: web.Request) -> web.StreamResponse:
    """GET /templates: the names, or with ?path= one of them."""
    path = request.query.get("path")
    if not path:
        return envelope.sync(await _metadata(request).templates(*named(request)))
    return raw.content(await _metadata(request).template(*named(request), path, requestor(request)), path)


async def write_template(request: web.Request) -> web.StreamResponse:
    """POST /templates?path=NAME: the body is the template."""
    content = await raw_body(request)
    await _metadata(request).write_template(*named(request), _path(request), content, requestor(request))
    return envelope.sync()


async def delete_template(request: web.Request) -> web.StreamResponse:
    """DELETE /templates?path=NAME."""
    await _metadata(request).delete_template(*named(request), _path(request), requestor(request))
    return envelope.sync()


def _path(request: web.Request) -> str:
    if path := request.query.get("path"):
        return path
    raise Invalid("template", text="missing path argument")


ROUTES = [
    *routes("GET", "/{name}/metadata", show),
    *routes("PUT", "/{name}/metadata", replace),
    *routes("PATCH", "/{name}/metadata", merge),
    *routes("GET", "/{name}/metadata/templates", templates),
    *routes("POST", "/{name}/metadata/templates", write_template),
    *routes("DELETE", "/{name}/metadata/templates", delete_template),
]
