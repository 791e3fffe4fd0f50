"""The header with which a proxy tells whom it speaks for. Source: HAProxy, the PROXY protocol, versions 1 and 2."""

import asyncio
import ipaddress
import socket
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length of what follows
LONGEST_LINE = 107
LONGEST_REST = 4096  # addresses take 216 bytes; what else may follow is of no interest here
_TCP4, _TCP6 = 0x11, 0x21
_LOCAL, _PROXY = 0x20, 0x21


class BadHeader(ValueError):
    """A proxy that is trusted said something that is not the protocol."""


class Client(NamedTuple):
    """Whom the proxy speaks for."""

    host: str
    port: int


async def read(peer: socket.socket) -> Client | None:
    """Take the header, if there is one, off a non-blocking connection; None when the proxy speaks for itself.

    As LXD has it, a trusted proxy may leave the header out. Raises BadHeader, OSError.
    """
    match await peek(peer, 1):
        case b"P":
            return version_1(await _line(peer))
        case b"\r":
            fixed = await _exactly(peer, FIXED.size)
            return version_2(fixed, await _exactly(peer, _length(fixed)))
        case _:
            return None


def version_1(line: bytes) -> Client | None:
    """The client in a line of version 1, with its line break. Raises BadHeader."""
    words = line.removesuffix(b"\r\n").split(b" ")
    if not line.endswith(b"\r\n") or words[0] != b"PROXY":
        raise BadHeader("not a line of the PROXY protocol")
    if words[1:2] == [b"UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise BadHeader("not an address of the PROXY protocol")
    try:
        version = 4 if words[1] == b"TCP4" else 6
        host, port = ipaddress.ip_address(words[2].decode("ascii")), words[4].decode("ascii")
    except ValueError as error:
        raise BadHeader("not an address of the PROXY protocol") from error
    if host.version != version or not port.isdecimal() or int(port) > 65535:
        raise BadHeader("not an address of the PROXY protocol")
    return Client(str(host), int(port))


def version_2(fixed: bytes, rest: bytes) -> Client | None:
    """The client in a header of version 2. Raises BadHeader."""
    _, command, transport, _ = FIXED.unpack(fixed)
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise BadHeader("not a command of the PROXY protocol")
    try:
        if transport == _TCP4:
            address, _, port, _ = struct.unpack_from("!4s4sHH", rest)
        elif transport == _TCP6:
            address, _, port, _ = struct.unpack_from("!16s16sHH", rest)
        else:
            return None  # unspecified, or something that has no address for us
    except struct.error as error:
        raise BadHeader("an address of the PROXY protocol is cut short") from error
    return Client(str(ipaddress.ip_address(address)), port)


def _length(fixed: bytes) -> int:
    signature, _, _, length = FIXED.unpack(fixed)
    if signature != SIGNATURE:
        raise BadHeader("not the signature of the PROXY protocol")
    if length > LONGEST_REST:
        raise BadHeader(f"a header of the PROXY protocol with {length} bytes")
    return length


async def _line(peer: socket.socket) -> bytes:
    """Up to a line break, and nothing of what follows: that belongs to TLS."""
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\n"):
        byte = await loop.sock_recv(peer, 1)
        line += byte
        if not byte or len(line) > LONGEST_LINE:
            raise BadHeader("not a line of the PROXY protocol")
    return line


async def _exactly(peer: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        block = await loop.sock_recv(peer, size - len(data))
        if not block:
            raise BadHeader("a header of the PROXY protocol is cut short")
        data += block
    return data


async def peek(peer: socket.socket, size: int) -> bytes:
    """What a non-blocking connection has for us, at most `size` bytes, left where it is; empty at its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(peer, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(peer)
    return peer.recv(size, socket.MSG_PEEK)
