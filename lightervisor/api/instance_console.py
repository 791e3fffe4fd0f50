"""/1.0/instances/{name}/console. Source: LXD REST API, console."""

from aiohttp import web

from lightervisor.api import envelope, raw
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, requestor
from lightervisor.api.services import offered, services
from lightervisor.model.console import InstanceConsolePost

WHAT = "console"


async def attach(request: web.Request) -> web.StreamResponse:
    """POST: an operation whose websockets are the console."""
    post = await body(request, InstanceConsolePost)
    consoles = offered(services(request).consoles, WHAT)
    return envelope.background(consoles.attach(*named(request), post, requestor(request)))


async def show_log(request: web.Request) -> web.StreamResponse:
    """GET: what the console has shown."""
    text = await offered(services(request).consoles, WHAT).log(*named(request), requestor(request))
    return raw.content(text, "console.log")


async def clear_log(request: web.Request) -> web.StreamResponse:
    """DELETE: forget what the console has shown."""
    await offered(services(request).consoles, WHAT).clear(*named(request), requestor(request))
    return envelope.sync()


ROUTES = [
    *routes("POST", "/{name}/console", attach),
    *routes("GET", "/{name}/console", show_log),
    *routes("DELETE", "/{name}/console", clear_log),
]
