"""/1.0/instances/{name}/sftp, and the same of snapshots: all files through one stream. Source: LXD REST API, sftp."""

from aiohttp import web

from lightervisor.api import upgrades
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.services import offered, services
from lightervisor.instances.sftp import Sftp

PROTOCOL = "sftp"


def _sftp(request: web.Request) -> Sftp:
    upgrades.require(request, PROTOCOL)
    return offered(services(request).sftp, "SFTP")


async def serve(request: web.Request) -> web.StreamResponse:
    """GET with `Upgrade: sftp`: a session in the instance."""
    async with _sftp(request).opened(*named(request)) as connection:
        return await upgrades.bridge(request, PROTOCOL, connection)


async def serve_snapshot(request: web.Request) -> web.StreamResponse:
    """The same in a snapshot, to read only. Our own."""
    opened = _sftp(request).opened_snapshot(*named(request), request.match_info["snapshot"])
    async with opened as connection:
        return await upgrades.bridge(request, PROTOCOL, connection)


ROUTES = [
    *routes("GET", "/{name}/sftp", serve),
    *routes("GET", "/{name}/snapshots/{snapshot}/sftp", serve_snapshot),
]
