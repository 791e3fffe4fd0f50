"""/1.0/warnings. Source: LXD REST API, warnings."""

from aiohttp import web

from lightervisor.api import envelope, filters, urls
from lightervisor.api.requests import body, recursion, requestor
from lightervisor.api.services import services
from lightervisor.errors import Invalid
from lightervisor.model.warning import WarningPut

ACTIONS = {"acknowledged": "warning-acknowledged", "new": "warning-reset"}


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/warnings."""
    found = await filters.matching(request.query.get("filter", ""), services(request).warnings.list())
    return envelope.sync(found if recursion(request) else [urls.of("warnings", one.uuid) for one in found])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/warnings/{id}."""
    return envelope.sync(services(request).warnings.get(request.match_info["id"]))


async def change(request: web.Request) -> web.StreamResponse:
    """PUT and PATCH /1.0/warnings/{id}: acknowledge it, or make it new again."""
    put, identity = await body(request, WarningPut), request.match_info["id"]
    if put.status not in ACTIONS:
        raise Invalid("warning", text='Only "acknowledged" and "new" status allowed')
    await services(request).warnings.set_status(identity, put.status)
    services(request).events.lifecycle(ACTIONS[put.status], urls.of("warnings", identity), requestor=requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/warnings/{id}."""
    identity = request.match_info["id"]
    await services(request).warnings.delete(identity)
    services(request).events.lifecycle("warning-deleted", urls.of("warnings", identity), requestor=requestor(request))
    return envelope.sync()


ROUTES = [
    web.get("/1.0/warnings", everything),
    web.get("/1.0/warnings/{id}", show),
    web.put("/1.0/warnings/{id}", change),
    web.patch("/1.0/warnings/{id}", change),
    web.delete("/1.0/warnings/{id}", delete),
]
