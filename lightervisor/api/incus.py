"""Incus' clients, which speak this API with other names for its headers. Source: Incus REST API."""

from aiohttp import web
from multidict import CIMultiDict

_THEIRS, _OURS = "X-Incus-", "X-LXD-"


def understood(request: web.Request) -> web.Request:
    """The request with the headers' names that the handlers know; the same one when nothing is to be translated."""
    if not any(name.startswith(b"X-Incus-") for name, _ in request.raw_headers):
        return request
    translated = (
        (_OURS + name[len(_THEIRS) :] if name.startswith(_THEIRS) else name, value)
        for name, value in request.headers.items()
    )
    return request.clone(headers=CIMultiDict(translated))


def asks(request: web.Request) -> bool:
    """Whether Incus' client asks."""
    return request.headers.get("User-Agent", "").lower().startswith("incus")


def install(application: web.Application) -> None:
    """Have what is said in headers said in Incus' too where its client reads them."""

    async def translate(request: web.Request, response: web.StreamResponse) -> None:
        if asks(request):
            ours = [(name, value) for name, value in response.headers.items() if name.startswith(_OURS)]
            response.headers.extend((_THEIRS + name[len(_OURS) :], value) for name, value in ours)

    application.on_response_prepare.append(translate)
