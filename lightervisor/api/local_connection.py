"""One connection of the unix socket, which knows who opened it.

Source: unix(7), SO_PEERCRED: the kernel tells it, once and for as long as the connection lasts.
"""

import asyncio
import socket
import struct
from typing import Any

from aiohttp import web

from lightervisor.api.network_connection import SILENT

CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class LocalConnection(web.RequestHandler):
    """aiohttp's connection and the user at its other end."""

    __slots__ = ("uid",)

    def __init__(self, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=SILENT)
        self.uid = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the kernel once: asking again for each request would cost a duplicate of the socket."""
        peer: Any = transport.get_extra_info("socket")
        self.uid = CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))[1]
        super().connection_made(transport)
