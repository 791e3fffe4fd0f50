"""The API's network listener: where it listens now, and how many handshakes it takes.

Source: LXD, core.https_address.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from lightervisor.api.network_connection import NetworkConnection
from lightervisor.api.tls import Context
from lightervisor.config import listen_address
from lightervisor.config.listen_address import ListenAddress
from lightervisor.errors import Invalid

HANDSHAKE_S, GOODBYE_S = 10, 2
HANDSHAKES, HANDSHAKES_OF_ONE = 512, 64
BACKLOG = 1024
# What clears up by itself when accepting fails; anything else is a bug and ends the listener loudly.
_TIRED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TIRED_S = 0.2
_PLAIN = (b"GET ", b"HEAD", b"POST", b"PUT ", b"OPTI", b"DELE", b"PATC")
_TOO_PLAIN = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
log = logging.getLogger(__name__)


class Network:
    """Listens on one address or on none; connections outlive a change of it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._server: web.Server | None = None
        self._address: ListenAddress | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._by_host: Counter[str] = Counter()

    @property
    def address(self) -> ListenAddress | None:
        """Where clients are listened to; None when nowhere."""
        return self._address if self._listener is not None else None

    @property
    def port(self) -> int | None:
        """The port that is listened on; None when none is."""
        return self._listener.getsockname()[1] if self._listener is not None else None

    def serve_with(self, server: web.Server) -> None:
        """What makes connections of this server; call it before listening."""
        self._server = server

    @asynccontextmanager
    async def moved_to(self, address: ListenAddress | None) -> AsyncGenerator[None, None]:
        """Listen there from now on, or nowhere; if what is done meanwhile fails, listen again where it was.

        Raises Invalid with LXD's text when this host cannot listen there; nothing has changed then.
        """
        before = self._address
        if address == before and self._listener is not None:
            yield
            return
        await self.listen(address)
        try:
            yield
        except BaseException:
            await self.listen(before)
            raise

    async def listen(self, address: ListenAddress | None) -> None:
        """Listen there instead of where it was. Raises Invalid, and listens where it was."""
        family, place = await _resolved(address) if address is not None else (socket.AF_INET6, None)
        before = self._listener.getsockname() if self._listener is not None else None
        family_before = self._listener.family if self._listener is not None else family
        # The same port on another address of ours is free only once we have let go of it.
        self._close_listener()
        if address is None or place is None:
            self._address = None
            return
        try:
            self._open(family, place)
        except OSError as error:
            if before is not None:
                self._open(family_before, before)
            raise _cannot_listen(address, error) from error
        self._address = address
        log.info("listening on %s", address)

    async def close(self) -> None:
        """Listen no more, and drop who has not finished its handshake."""
        self._close_listener()
        waiting = list(self._handshakes)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _open(self, family: socket.AddressFamily, place: Any) -> None:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.setblocking(False)
            listener.bind(place)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener), name=f"https {place[0]}:{place[1]}")

    def _close_listener(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, place = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # it has gone before it was seen
            except OSError as error:
                if error.errno not in _TIRED:
                    raise
                log.warning("no connection can be accepted at present: %s", error.strerror)
                await asyncio.sleep(_TIRED_S)
                continue
            host = _unmapped(place[0])
            if len(self._handshakes) >= HANDSHAKES or self._by_host[host] >= HANDSHAKES_OF_ONE:
                log.debug("too many handshakes: %s is refused", host)
                peer.close()
                continue
            self._by_host[host] += 1
            task = asyncio.create_task(self._shake_hands(peer, host, place[1]))
            self._handshakes[task] = host
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        host = self._handshakes.pop(task)
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]

    async def _shake_hands(self, peer: socket.socket, host: str, port: int) -> None:
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(HANDSHAKE_S):
                if await _is_plain(peer):
                    await asyncio.get_running_loop().sock_sendall(peer, _TOO_PLAIN)
                    peer.close()
                    return
            await self._hand_over(peer, str(ListenAddress(host, str(port))))
        except (OSError, TimeoutError) as error:  # what TLS raises is an OSError
            log.debug("no connection with %s: %s", host, error)
            peer.close()
        except BaseException:
            peer.close()
            raise

    async def _hand_over(self, peer: socket.socket, client: str) -> None:
        server = self._server
        if server is None:
            peer.close()
            return
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: NetworkConnection(server, client, lambda: None),
            peer,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=GOODBYE_S,
        )


async def _resolved(address: ListenAddress) -> tuple[socket.AddressFamily, Any]:
    """Where that is. Raises Invalid with LXD's texts."""
    try:
        port = listen_address.port_number(address.port)
    except Invalid as error:
        text = f'Cannot listen on network HTTPS socket "{address}": listen tcp: {error.sentence()}'
        raise Invalid("address", text=text) from error
    if address.is_everywhere:
        return (socket.AF_INET6, ("::", port)) if socket.has_dualstack_ipv6() else (socket.AF_INET, ("0.0.0.0", port))  # noqa: S104
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Invalid("address", text=f'Couldn\'t resolve "{address.host}"') from error
    family, *_, place = min(found, key=lambda one: one[0] != socket.AF_INET)  # version 4 first, as Go
    return family, place


def _cannot_listen(address: ListenAddress, error: OSError) -> Invalid:
    reason = (error.strerror or str(error)).lower()
    text = f'Cannot listen on network HTTPS socket "{address}": listen tcp {address}: bind: {reason}'
    remedy = "choose an address of this host" if error.errno == errno.EADDRNOTAVAIL else "choose another port"
    return Invalid("address", text=text, remedy=remedy)


async def _is_plain(peer: socket.socket) -> bool:
    """Whether the client speaks HTTP without TLS; nothing is taken from the connection."""
    await _readable(peer)
    return peer.recv(4, socket.MSG_PEEK).startswith(_PLAIN)


async def _readable(peer: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(peer, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(peer)


def _unmapped(host: str) -> str:
    """An IPv4 address as such, though it came through a socket for both versions."""
    return host.removeprefix("::ffff:")
