"""/1.0/images/aliases. Source: LXD REST API, image aliases."""

import msgspec
from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.images import sees_public_only
from lightervisor.api.requests import body, project, raw_body, recursion, requestor
from lightervisor.api.services import services
from lightervisor.errors import Conflict, Invalid, NotFound
from lightervisor.model.decode import decode
from lightervisor.model.image import ImageAliasesEntry, ImageAliasesEntryPost, ImageAliasesEntryPut


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/aliases."""
    project(request)
    found = services(request).images.rows.aliases()
    return envelope.sync(found if recursion(request) else [urls.of("images", "aliases", one.name) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/aliases."""
    entry = await body(request, ImageAliasesEntry)
    if not entry.name or not entry.target:
        raise Invalid("image alias", text="Alias name and target are required")
    await services(request).images.rows.add_alias(entry)
    _publish(request, "created", entry.name)
    return envelope.created(urls.of("images", "aliases", entry.name))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/aliases/{name}; who is not of the project sees those of public images."""
    entry = _entry(request)
    if sees_public_only(request) and not services(request).images.get(entry.target).public:
        raise NotFound("image alias", entry.name)
    return envelope.sync(entry, etag=etag.of(entry))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/images/aliases/{name}."""
    put, entry = await body(request, ImageAliasesEntryPut), _entry(request)
    if not put.target:
        raise Invalid("image alias", text="The target field is required")
    return await _changed(request, entry, put)


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/images/aliases/{name}: what is not given stays."""
    text, entry = await raw_body(request), _entry(request)
    given = decode(text, dict[str, object])
    put = decode(text, ImageAliasesEntryPut)
    kept = {name: getattr(entry, name) for name in ("description", "target") if name not in given}
    return await _changed(request, entry, msgspec.structs.replace(put, **kept))


async def _changed(request: web.Request, entry: ImageAliasesEntry, put: ImageAliasesEntryPut) -> web.StreamResponse:
    etag.check(request.headers.get("If-Match"), etag.of(entry))
    await services(request).images.rows.replace_alias(entry.name, entry.name, put.description, put.target)
    _publish(request, "updated", entry.name)
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/aliases/{name}."""
    rows, post, entry = services(request).images.rows, await body(request, ImageAliasesEntryPost), _entry(request)
    if not post.name:
        raise Invalid("image alias", text="Alias name is required")
    if any(other.name == post.name for other in rows.aliases()):
        raise Conflict("image alias", post.name, text=f'Alias "{post.name}" already exists')
    await rows.replace_alias(entry.name, post.name, entry.description, entry.target)
    _publish(request, "renamed", post.name)
    return envelope.created(urls.of("images", "aliases", post.name))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/images/aliases/{name}."""
    name = _entry(request).name
    await services(request).images.rows.delete_alias(name)
    _publish(request, "deleted", name)
    return envelope.sync()


def _entry(request: web.Request) -> ImageAliasesEntry:
    project(request)
    return services(request).images.rows.alias(request.match_info["name"])


def _publish(request: web.Request, action: str, name: str) -> None:
    url = urls.of("images", "aliases", name)
    services(request).events.lifecycle(f"image-alias-{action}", url, project="default", requestor=requestor(request))


ONE = "/1.0/images/aliases/{name:.+}"  # an alias may hold slashes
ROUTES = [
    web.get("/1.0/images/aliases", everything),
    web.post("/1.0/images/aliases", create),
    web.get(ONE, show),
    web.put(ONE, replace),
    web.patch(ONE, merge),
    web.post(ONE, rename),
    web.delete(ONE, delete),
]
