"""POST /1.0/instances with an archive as its body: a backup comes back. Source: LXD REST API, instances.

Headers say what is to be different: X-LXD-name, X-LXD-pool and, as LXD 6 has it, X-LXD-devices.
"""

from urllib.parse import parse_qsl

from aiohttp import web

from lightervisor.api import callers, envelope
from lightervisor.api.instance_paths import MACHINES, kind_of
from lightervisor.api.requests import header, project, requestor
from lightervisor.api.services import offered, services
from lightervisor.backups.records import Place
from lightervisor.errors import Forbidden, Unsupported

BLOCK = 1 << 20


async def restore(request: web.Request) -> web.StreamResponse:
    """Receive the archive, check it, make an instance of it."""
    if kind_of(request) == MACHINES:
        raise Unsupported("backup", cause="virtual machines are not offered")
    found, where = offered(services(request).restoring, "backup"), project(request)
    wish = Place(
        project=where,
        name=header(request, "X-LXD-name"),
        pool=header(request, "X-LXD-pool"),
        devices=_devices(header(request, "X-LXD-devices")),
    )
    received = await found.receive(request.content.iter_chunked(BLOCK), wish)
    try:
        callers.confirm(request)
    except Forbidden:
        received.upload.discard()
        raise
    operation = found.restore(received, requestor(request))
    return envelope.background(operation)


def _devices(text: str) -> dict[str, dict[str, str]]:
    """Devices by name, each a query string within a query string."""
    return {
        name: dict(parse_qsl(options, keep_blank_values=True))
        for name, options in parse_qsl(text, keep_blank_values=True)
    }
