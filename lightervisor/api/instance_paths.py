"""The three trees that instances are reached under: /1.0/instances, /1.0/containers, /1.0/virtual-machines.

All instances are containers here, so the last one lists nothing and finds nothing. Source: LXD REST API.
"""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from lightervisor.api.requests import project
from lightervisor.errors import Invalid, NotFound

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KINDS = ("instances", "containers")
MACHINES = "virtual-machines"


def kind_of(request: web.Request) -> str:
    """The tree a request came to."""
    return request.path.split("/", 3)[2]


def named(request: web.Request) -> tuple[str, str]:
    """Project and name of the instance a request is about.

    Raises NotFound in projects that do not exist, Invalid with LXD's text for a snapshot, which can do nothing.
    """
    name = request.match_info["name"]
    if "/" in name:
        raise Invalid("instance", name, text="Invalid instance name", remedy="a snapshot does nothing: copy it first")
    return project(request, kind="instance"), name


async def _no_such_machine(request: web.Request) -> web.StreamResponse:
    raise NotFound("instance", request.match_info["name"])


def routes(method: str, path: str, handler: Handler) -> Sequence[web.RouteDef]:
    """The routes of one handler; `path` is what follows the tree's name, such as `/{name}/state`."""
    found = [web.route(method, f"/1.0/{kind}{path}", handler) for kind in KINDS]
    return [*found, web.route(method, f"/1.0/{MACHINES}{path}", _no_such_machine if "{name}" in path else handler)]
