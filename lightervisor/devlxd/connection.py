"""One connection of a guest, and what its requests cost."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from lightervisor.instances.guest_sockets import GuestConnection
from lightervisor.instances.guests import Guests

IDLE_S = 20
LONGEST_HEADER = 8190
MOST_HEADERS = 32
READ, WRITE, EXPORT, FLOOD = 1, 20, 50, 200
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.disabled = True
GUESTS = web.AppKey("guests", Guests)


class Connection(web.RequestHandler):
    """aiohttp's connection, which knows the guest; one that asks for nothing for a while is ended."""

    __slots__ = ("peer",)

    def __init__(self, server: web.Server, peer: GuestConnection) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=_SILENT,
            logger=_SILENT,  # what is no HTTP fills no log
            keepalive_timeout=IDLE_S,
            lingering_time=0,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            tcp_keepalive=False,
        )
        self.peer = peer

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who counts."""
        super().connection_lost(exc)
        self.peer.ended()


def peer_of(request: web.Request) -> GuestConnection:
    """Who asks."""
    protocol: Any = request.protocol
    peer: GuestConnection = protocol.peer
    return peer


def instance_of(request: web.Request) -> tuple[str, str]:
    """Project and name of the instance that asks."""
    guest = peer_of(request).guest
    return guest.project, guest.name


def guests(request: web.Request) -> Guests:
    """The verbs."""
    return request.app[GUESTS]
