"""What handlers read from a request: its project, its body, who asks."""

import pwd
import socket
import struct
from typing import TypeVar

from aiohttp import web

from lightervisor.errors import Invalid, NotFound
from lightervisor.model.decode import decode
from lightervisor.model.event import EventLifecycleRequestor

Wire = TypeVar("Wire")
LARGEST_JSON = 16 << 20


def project(request: web.Request) -> str:
    """The project asked for. Raises NotFound for any but `default`, the only one so far."""
    name = request.query.get("project") or "default"
    if name != "default":
        raise NotFound("project", name)
    return name


def recursion(request: web.Request) -> int:
    """The depth asked for; anything but a number is 0."""
    text = request.query.get("recursion", "")
    return int(text) if text.isdecimal() else 0


async def body(request: web.Request, wanted: type[Wire]) -> Wire:
    """The JSON body as a struct. Raises Invalid for bad JSON and for bodies above 16 MiB."""
    received = bytearray()
    async for block in request.content.iter_any():
        received += block
        if len(received) > LARGEST_JSON:
            raise Invalid("request body", cause=f"it is larger than {LARGEST_JSON >> 20} MiB")
    return decode(bytes(received), wanted)


def requestor(request: web.Request) -> EventLifecycleRequestor:
    """Who asks: the user at the other end of the unix socket."""
    peer: socket.socket | None = request.transport.get_extra_info("socket") if request.transport else None
    name = ""
    if peer is not None:
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
    return EventLifecycleRequestor(username=name, protocol="unix", address="@")
