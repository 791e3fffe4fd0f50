"""The API's network listener: where it listens now.

Source: LXD, core.https_address.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from lightervisor.api.door import Door
from lightervisor.config import listen_address
from lightervisor.config.listen_address import ListenAddress, Unresolvable
from lightervisor.errors import Invalid

BACKLOG = 1024
# What clears up by itself when accepting fails; anything else is a bug and ends the listener loudly.
_TIRED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TIRED_S = 0.2
log = logging.getLogger(__name__)


class Network:
    """Listens on one address or on none; connections outlive a change of it."""

    def __init__(self, door: Door) -> None:
        """`door` gets who comes."""
        self._door = door
        self._address: ListenAddress | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def address(self) -> ListenAddress | None:
        """Where clients are listened to; None when nowhere."""
        return self._address if self._listener is not None else None

    @property
    def port(self) -> int | None:
        """The port that is listened on; None when none is."""
        return self._listener.getsockname()[1] if self._listener is not None else None

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
        await self._door.close()

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
            self._door.enter(peer, _unmapped(place[0]), place[1])


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
        raise Unresolvable(address.host) from error
    family, *_, place = min(found, key=lambda one: one[0] != socket.AF_INET)  # version 4 first, as Go
    return family, place


def _cannot_listen(address: ListenAddress, error: OSError) -> Invalid:
    reason = (error.strerror or str(error)).lower()
    text = f'Cannot listen on network HTTPS socket "{address}": listen tcp {address}: bind: {reason}'
    remedy = "choose an address of this host" if error.errno == errno.EADDRNOTAVAIL else "choose another port"
    return Invalid("address", text=text, remedy=remedy)


def _unmapped(host: str) -> str:
    """An IPv4 address as such, though it came through a socket for both versions."""
    return host.removeprefix("::ffff:")
