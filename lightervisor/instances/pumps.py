"""Bytes between websockets and descriptors, on the loop, in large pieces, with back-pressure."""

import asyncio
import os
from contextlib import suppress

from lightervisor.operations.operations import Channel

PIECE = 128 << 10


def close_all(*descriptors: int) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


async def pump_out(descriptor: int, channel: Channel) -> None:
    """Send what comes out of a pipe or terminal until its end; the descriptor is closed."""
    os.set_blocking(descriptor, False)
    try:
        with suppress(ConnectionError):
            while piece := await _read(descriptor):
                await channel.send(piece)
    finally:
        os.close(descriptor)


async def pump_in(channel: Channel, descriptor: int) -> None:
    """Write what a client sends until the empty text frame or its end; the descriptor is closed."""
    os.set_blocking(descriptor, False)
    try:
        with suppress(BrokenPipeError, OSError):
            while isinstance(frame := await channel.receive(), bytes):
                await _write(descriptor, frame)
    finally:
        os.close(descriptor)


async def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, PIECE)
        except BlockingIOError:
            await _ready(descriptor, for_writing=False)
        except OSError:
            return b""  # EIO: the last program closed the terminal


async def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await _ready(descriptor, for_writing=True)


async def _ready(descriptor: int, *, for_writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(descriptor)
