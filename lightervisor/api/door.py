"""Who comes in from the network: the PROXY header, TLS, and limits for those whom nobody knows.

Strangers share what they may take, so that they can neither use up the daemon's descriptors and memory nor keep a
trusted client out: how many shake hands at a time, and how many are connected; from one address only a part of that.
"""

import asyncio
import ipaddress
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from lightervisor.api import proxy_protocol
from lightervisor.api.network_connection import NetworkConnection
from lightervisor.api.tls import Context, Session
from lightervisor.auth.origin import origin
from lightervisor.config.listen_address import ListenAddress

HANDSHAKE_S, GOODBYE_S, STALLED_S = 10, 2, 60
HANDSHAKES, STRANGERS = 512, 1024
SHARE_OF_ONE = 4  # a single address may take a quarter
_PLAIN = (b"GET ", b"HEAD", b"POST", b"PUT ", b"OPTI", b"DELE", b"PATC")
_TOO_PLAIN = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
log = logging.getLogger(__name__)


class Crowd:
    """Counts who is there, by host, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self.of_one = limit, max(1, limit // SHARE_OF_ONE)
        self._by_host: Counter[str] = Counter()
        self._all = 0

    @property
    def here(self) -> int:
        """How many are there."""
        return self._all

    def admit(self, host: str) -> bool:
        """Count one more; False, and not counted, when that would be too many."""
        one = origin(host)
        if self._all >= self._limit or self._by_host[one] >= self.of_one:
            return False
        self._all += 1
        self._by_host[one] += 1
        return True

    def leave(self, host: str) -> None:
        """One of those counted has gone."""
        one = origin(host)
        self._all -= 1
        self._by_host[one] -= 1
        if not self._by_host[one]:
            del self._by_host[one]


class Door:
    """Makes connections of the HTTP server from connected sockets."""

    def __init__(
        self,
        context: Context,
        *,
        is_trusted: Callable[[list[bytes]], bool],
        trusted_proxies: Callable[[], Sequence[Network]],
        paths: frozenset[str] | None = None,
    ) -> None:
        """`is_trusted`: whether a client with this chain of certificates is one of ours.

        `paths` are all that is served here, None for everything.
        """
        self._context, self._is_trusted, self._trusted_proxies = context, is_trusted, trusted_proxies
        self._paths = paths
        self._server: web.Server | None = None
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._shaking, self._strangers = Crowd(min(HANDSHAKES, most)), Crowd(min(STRANGERS, most))
        self._tasks: set[asyncio.Task[None]] = set()

    def serve_with(self, server: web.Server) -> None:
        """What makes answers; until then everyone is turned away."""
        self._server = server

    def enter(self, peer: socket.socket, host: str, port: int) -> None:
        """Take over a connected socket, non-blocking. Returns at once."""
        if self._server is None or not self._shaking.admit(host):
            log.debug("%s is turned away: too many come at once", host)
            peer.close()
            return
        task = asyncio.create_task(self._receive(peer, self._server, host, port), name=f"handshake {host}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._shaking.leave(host))

    async def close(self) -> None:
        """Drop who has not finished the handshake."""
        waiting = list(self._tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _receive(self, peer: socket.socket, server: web.Server, host: str, port: int) -> None:
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(HANDSHAKE_S):
                if self._is_proxy(host) and (told := await proxy_protocol.read(peer)) is not None:
                    host, port = told
                if (await proxy_protocol.peek(peer, 4)).startswith(_PLAIN):
                    await _explain(peer)
                    peer.close()
                    return
            await self._shake_hands(peer, server, host, port)
        except (OSError, TimeoutError, proxy_protocol.BadHeader) as error:  # what TLS raises is an OSError
            log.debug("no connection with %s: %s", host, str(error) or type(error).__name__)
            peer.close()
        except BaseException:
            peer.close()
            raise

    async def _shake_hands(self, peer: socket.socket, server: web.Server, host: str, port: int) -> None:
        connection = NetworkConnection(server, str(ListenAddress(host, str(port))), self._paths)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection,
            peer,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=GOODBYE_S,
        )
        if self._is_known(transport):
            return
        if self._strangers.admit(host):
            # One that does not take its answer is cut off by the kernel.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_S * 1000)
            connection.when_ended(lambda: self._strangers.leave(host))
        else:
            log.debug("%s is turned away: too many strangers are connected", host)
            transport.abort()

    def _is_known(self, transport: asyncio.Transport) -> bool:
        session: Any = transport.get_extra_info("ssl_object")
        chain = session.certificates() if isinstance(session, Session) else []
        return bool(chain) and self._is_trusted(chain)

    def _is_proxy(self, host: str) -> bool:
        networks = self._trusted_proxies()
        address = ipaddress.ip_address(host) if networks else None
        return address is not None and any(address in network for network in networks)


async def _explain(peer: socket.socket) -> None:
    """Answer plain HTTP; what is closed before all was read would take the answer back."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(peer, _TOO_PLAIN)
    peer.shutdown(socket.SHUT_WR)
    while await loop.sock_recv(peer, 1 << 16):
        pass
