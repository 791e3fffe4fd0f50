"""/1.0/instances/{name}/logs. Source: LXD REST API, logs."""

import os

from aiohttp import web

from lightervisor.api import envelope, raw, urls
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import requestor
from lightervisor.api.services import offered, services
from lightervisor.instances.logs import Logs


def _logs(request: web.Request) -> Logs:
    return offered(services(request).logs, "instance logs")


async def everything(request: web.Request) -> web.StreamResponse:
    """GET: URLs of the log files."""
    project, name = named(request)
    files = _logs(request).list(project, name)
    return envelope.sync([urls.of("instances", name, "logs", file) for file in files])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /{file}: a log file."""
    file = request.match_info["file"]
    fd = _logs(request).open(*named(request), file, requestor(request))
    try:
        return await raw.descriptor(request, fd, raw.headers_of(file))
    finally:
        os.close(fd)


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /{file}."""
    _logs(request).delete(*named(request), request.match_info["file"], requestor(request))
    return envelope.sync()


ROUTES = [
    *routes("GET", "/{name}/logs", everything),
    *routes("GET", "/{name}/logs/{file}", show),
    *routes("DELETE", "/{name}/logs/{file}", delete),
]
