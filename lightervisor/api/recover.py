"""/internal/recover: for `lxd recover`. Source: LXD 5.0.2."""

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.api.requests import body
from lightervisor.api.services import offered, services
from lightervisor.model.recover import RecoverPost


async def validate(request: web.Request) -> web.StreamResponse:
    """POST /internal/recover/validate: what pools hold that the database does not know."""
    recovery = offered(services(request).recovery, "recovery")
    return envelope.sync(await recovery.validate(await body(request, RecoverPost)))


async def import_(request: web.Request) -> web.StreamResponse:
    """POST /internal/recover/import: store all of that."""
    recovery = offered(services(request).recovery, "recovery")
    await recovery.import_(await body(request, RecoverPost))
    return envelope.sync()


ROUTES = [
    web.post("/internal/recover/validate", validate),
    web.post("/internal/recover/import", import_),
]
