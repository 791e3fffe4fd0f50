"""What pages of other sites may do with a browser that is trusted here.

A browser sends its client certificate with whatever a page makes it send. It keeps the page from reading the answer
unless the headers here allow it, but not from sending forms or opening websockets: those are refused.
Sources: LXD, core.https_allowed_*; the Fetch standard, CORS protocol and Sec-Fetch-Site.
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from lightervisor.api.network_connection import NetworkConnection
from lightervisor.config.types import is_true
from lightervisor.errors import Forbidden

ORIGIN = "core.https_allowed_origin"
CREDENTIALS = "core.https_allowed_credentials"
_HEADERS = {
    ORIGIN: "Access-Control-Allow-Origin",
    "core.https_allowed_methods": "Access-Control-Allow-Methods",
    "core.https_allowed_headers": "Access-Control-Allow-Headers",
}
_HARMLESS = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")  # none: typed by the user
Settings = Callable[[], Mapping[str, str]]


def install(application: web.Application, settings: Settings) -> None:
    """Have every answer of the application say what other sites may do."""

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        if "Origin" in request.headers and not request.path.startswith("/internal"):
            response.headers.update(_allowances(settings()))

    application.on_response_prepare.append(mark)


def _allowances(config: Mapping[str, str]) -> dict[str, str]:
    """The headers for a request of another site."""
    found = {header: config[key] for key, header in _HEADERS.items() if config.get(key)}
    if is_true(config.get(CREDENTIALS)):
        found["Access-Control-Allow-Credentials"] = "true"
    return found


def refuse_other_sites(request: web.Request, settings: Settings) -> None:
    """Raise Forbidden when a page of a site that is not allowed makes a browser change something or open a websocket.

    Only browsers say where a request comes from, and pages cannot make them lie; what says nothing passes.
    """
    is_websocket = "Upgrade" in request.headers
    if not isinstance(request.protocol, NetworkConnection) or (request.method in _HARMLESS and not is_websocket):
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is None:
        is_own = site is None or site in _OWN_SITES
    else:
        is_own = origin == f"https://{request.host}" or settings().get(ORIGIN) in ("*", origin)
    if not is_own:
        cause = f"this site may not use the API: {origin or site}"
        raise Forbidden("request", cause=cause, remedy=f"set {ORIGIN} to allow it")
