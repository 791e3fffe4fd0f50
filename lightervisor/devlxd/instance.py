"""What a guest asks about its own instance: state, configuration, devices, meta-data. Source: LXD, guest API."""

import asyncio

import msgspec
from aiohttp import web

from lightervisor.devlxd import answers
from lightervisor.devlxd.connection import guests, instance_of
from lightervisor.errors import Invalid

BODY_S = 5
LONGEST_BODY = 4096


class DevLXDPut(msgspec.Struct, frozen=True, kw_only=True):
    """LXD's DevLXDPut."""

    state: str = ""


class DevLXDGet(msgspec.Struct, frozen=True, kw_only=True):
    """LXD's DevLXDGet, in LXD's order."""

    state: str
    api_version: str = "1.0"
    instance_type: str = "container"
    location: str = "none"


async def versions(_request: web.Request) -> web.StreamResponse:
    """GET /."""
    return answers.json(["/1.0"])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0."""
    return answers.json(DevLXDGet(state=guests(request).state(*instance_of(request))))


async def change(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0: the guest says that it is ready."""
    try:
        async with asyncio.timeout(BODY_S):
            put = msgspec.json.decode(await request.content.readexactly(_length(request)), type=DevLXDPut)
    except (TimeoutError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise Invalid("request", text="bad request") from error
    await guests(request).set_state(*instance_of(request), put.state)
    return answers.text("")


def _length(request: web.Request) -> int:
    length = request.content_length
    if length is None or length > LONGEST_BODY:
        raise Invalid("request", text="bad request")
    return length


async def keys(request: web.Request) -> web.StreamResponse:
    """GET /1.0/config: the addresses of the keys that may be read."""
    return answers.json([f"/1.0/config/{key}" for key in guests(request).keys(*instance_of(request))])


async def value(request: web.Request) -> web.StreamResponse:
    """GET /1.0/config/{key}."""
    return answers.text(guests(request).value(*instance_of(request), request.match_info["key"]))


async def devices(request: web.Request) -> web.StreamResponse:
    """GET /1.0/devices."""
    return answers.json(guests(request).devices(*instance_of(request)))


async def meta_data(request: web.Request) -> web.StreamResponse:
    """GET /1.0/meta-data."""
    return answers.text(guests(request).meta_data(*instance_of(request)))


ROUTES = [
    web.get("/", versions),
    web.get("/1.0", show),
    web.patch("/1.0", change),
    web.get("/1.0/config", keys),
    web.get("/1.0/config/{key}", value),
    web.get("/1.0/devices", devices),
    web.get("/1.0/meta-data", meta_data),
]
