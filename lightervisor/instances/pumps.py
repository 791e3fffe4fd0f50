"""Bytes between websockets and descriptors, on the loop, in large pieces, with back-pressure.

Data is binary frames; an empty text frame is the end of a direction. Source: LXD, websocket protocols.
"""

import asyncio
import fcntl
import os
from contextlib import suppress

from lightervisor.operations.operations import Channel

PIECE = 256 << 10
PIPE_SIZE = 1 << 20
LAST_WORDS = 1 << 20
GRACE_S = 0.05

Ended = asyncio.Future[None]


def close_all(*descriptors: int) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def pipe() -> tuple[int, int]:
    """A pipe with room for many pieces, where the kernel allows it."""
    reader, writer = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return reader, writer


async def pump_out(descriptor: int, channel: Channel, ended: Ended) -> None:
    """Send what comes out of a pipe or terminal until its end; the descriptor is closed.

    After `ended` only what the program has left there is sent: a child that it left behind may hold the other end
    open, and write, for ever.
    """
    os.set_blocking(descriptor, False)
    left = LAST_WORDS
    try:
        with suppress(ConnectionError):
            while left > 0:
                piece = _read(descriptor)
                if piece is None:
                    if ended.done() and not await _readable_soon(descriptor):
                        return
                    await _ready(descriptor, ended)
                elif piece:
                    left -= len(piece) if ended.done() else 0
                    await channel.send(piece)
                else:
                    return
    finally:
        os.close(descriptor)


async def pump_in(channel: Channel, descriptor: int) -> bool:
    """Write what a client sends until its empty text frame; the descriptor is closed. False when the client left."""
    os.set_blocking(descriptor, False)
    try:
        with suppress(OSError):  # nobody reads any more
            while isinstance(frame := await channel.receive(), bytes):
                await _write(descriptor, frame)
            return frame is not None
        return True
    finally:
        os.close(descriptor)


async def gone(channel: Channel) -> None:
    """Wait until a client has closed a websocket; what it sends is dropped."""
    while await channel.receive() is not None:
        continue


def _read(descriptor: int) -> bytes | None:
    """What is there: nothing at the end, None when something may come yet."""
    try:
        return os.read(descriptor, PIECE)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # EIO: the last program closed the terminal


async def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await _ready(descriptor, None, for_writing=True)


async def _readable_soon(descriptor: int) -> bool:
    """A terminal hands over what was written to it a moment later."""
    try:
        async with asyncio.timeout(GRACE_S):
            await _ready(descriptor, None)
    except TimeoutError:
        return False
    return True


async def _ready(descriptor: int, ended: Ended | None, *, for_writing: bool = False) -> None:
    """Wait until a descriptor can be used, or until `ended`."""
    loop = asyncio.get_running_loop()
    ready: Ended = loop.create_future()

    def wake(_: object = None) -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, wake)
    if ended is not None:
        ended.add_done_callback(wake)
    try:
        await ready
    finally:
        remove(descriptor)
        if ended is not None:
            ended.remove_done_callback(wake)
