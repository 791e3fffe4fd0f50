"""The PROXY protocol, versions 1 and 2."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.api.proxy_protocol import FIXED, SIGNATURE, BadHeader, Client, peek, read, version_1, version_2


def header_2(client: str, port: int, *, command: int = 0x21, more: bytes = b"") -> bytes:
    address = ipaddress.ip_address(client)
    form = "!4s4sHH" if address.version == 4 else "!16s16sHH"
    rest = struct.pack(form, address.packed, address.packed, port, 8443) + more
    return FIXED.pack(SIGNATURE, command, 0x11 if address.version == 4 else 0x21, len(rest)) + rest


@pytest.fixture
async def pair() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    far.setblocking(False)
    with near, far:
        yield near, far


@pytest.mark.parametrize(
    ("sent", "client"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8443\r\n", Client("192.0.2.1", 4242)),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4242 8443\r\n", Client("2001:db8::1", 4242)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:: ::1 1 2\r\n", None),
        (header_2("192.0.2.1", 4242), Client("192.0.2.1", 4242)),
        (header_2("2001:db8::1", 4242, more=b"\x20\x00\x01x"), Client("2001:db8::1", 4242)),
        (header_2("192.0.2.1", 4242, command=0x20), None),
        (b"", None),
    ],
)
async def test_the_header_is_taken_and_what_follows_is_left(
    pair: tuple[socket.socket, socket.socket], sent: bytes, client: Client | None
) -> None:
    near, far = pair
    near.sendall(sent + b"\x16\x03\x01")
    assert await read(far) == client
    assert await peek(far, 9) == b"\x16\x03\x01"


async def test_a_header_may_come_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    reading = asyncio.create_task(read(far))
    for byte in header_2("192.0.2.1", 1):
        near.sendall(bytes([byte]))
        await asyncio.sleep(0)
    assert await reading == Client("192.0.2.1", 1)


@pytest.mark.parametrize(
    "sent",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4242\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 1\r\n",
        b"PROXY TCP4 example.com 192.0.2.2 1 1\r\n",
        b"PROXY TCP4 \xff 192.0.2.2 1 1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 1\n",
        b"P" * 200,
        b"\r" * 16,
        FIXED.pack(SIGNATURE, 0x21, 0x11, 4097),
        FIXED.pack(SIGNATURE, 0x21, 0x11, 3) + b"abc",
        FIXED.pack(SIGNATURE, 0x31, 0x11, 0),
    ],
)
async def test_what_is_no_header_is_refused(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    near, far = pair
    near.sendall(sent)
    with pytest.raises(BadHeader):
        await read(far)


async def test_a_header_that_ends_early_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.sendall(header_2("192.0.2.1", 1)[:-1])
    near.shutdown(socket.SHUT_WR)
    with pytest.raises(BadHeader):
        await read(far)


@given(st.binary(max_size=120))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(BadHeader):
        version_1(b"PROXY " + line + b"\r\n")


@given(st.binary(min_size=FIXED.size, max_size=FIXED.size), st.binary(max_size=60))
def test_any_version_2_is_read_or_refused(fixed: bytes, rest: bytes) -> None:
    with contextlib.suppress(BadHeader):
        version_2(fixed, rest)
