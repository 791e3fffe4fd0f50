"""What goes over the websockets of a migration: messages on `control`; streams, each with an end, on `fs`.

A stream is binary frames and an empty text frame. Whoever is silent for too long, or closes in the middle, fails it.
Source: LXD REST API, websocket protocols and migration.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

from lightervisor.errors import Failure, Invalid, Unavailable
from lightervisor.instances import pumps
from lightervisor.migration.frames import Control
from lightervisor.migration.protobuf import Message
from lightervisor.migration.rsync import Rsync
from lightervisor.operations.operations import Channel

END = ""
_EVERY_S = 0.5
_LARGE = 1 << 16
"""Bytes of a message that takes so long to read that others must not wait for it."""
LONGEST_TEXT = 64 << 20
"""Most bytes of a stream that is read as one text: an index of a hundred thousand snapshots."""
Kind = TypeVar("Kind", bound=Message)
Answer = TypeVar("Answer")


class Line:
    """One websocket; a peer from which nothing comes for `silence_s` seconds, when something must, is given up."""

    def __init__(self, channel: Channel, silence_s: float) -> None:
        self._channel, self._silence_s = channel, silence_s
        self.is_on_this_host, self.moved = channel.is_on_this_host, 0
        self.ends = 0
        """Streams of ours to whose ends the peer may have come."""

    async def receive(self) -> bytes | str | None:
        """The next frame, None at the end."""
        frame = await self._channel.receive()
        self.moved += len(frame or b"")
        return frame

    async def send(self, frame: bytes | str) -> None:
        """Send one frame. Raises Unavailable when the peer is gone."""
        try:
            await self._channel.send(frame)
        except ConnectionError:
            _gone()
        self.moved += len(frame)

    async def close(self) -> None:
        """Close the websocket."""
        with suppress(ConnectionError):
            await self._channel.close()

    # Messages

    async def message(self, kind: type[Kind]) -> Kind:
        """The next message. Raises Invalid for anything else, Unavailable when the peer is gone or silent."""
        with _patience(self._silence_s):
            async with asyncio.timeout(self._silence_s):
                return await self.message_sometime(kind)

    async def message_sometime(self, kind: type[Kind]) -> Kind:
        """The next message, however long it takes."""
        frame = await self.receive()
        if frame is None:
            _gone()
        if isinstance(frame, str):
            raise Invalid("migration message", text="Only binary messages allowed")
        if len(frame) > _LARGE:
            return await asyncio.to_thread(kind.decode, frame)
        return kind.decode(frame)

    async def tell(self, message: Message) -> None:
        """Send a message. Raises Unavailable."""
        with _patience(self._silence_s):
            async with asyncio.timeout(self._silence_s):
                await self.send(message.encode())

    async def fail(self, failure: BaseException) -> None:
        """Tell the peer why nothing comes of it, if it still listens."""
        text = failure.sentence() if isinstance(failure, Failure) else "Migration was cancelled"
        with suppress(Failure):
            await self.tell(Control(success=False, message=text))

    # Streams

    async def send_text(self, text: bytes) -> None:
        """Send a stream that is one text. Raises Unavailable."""
        with _patience(self._silence_s):
            async with asyncio.timeout(self._silence_s):
                await self.send(text)
                await self.send(END)

    async def text(self) -> bytes:
        """A whole stream. Raises Invalid when it is too long, Unavailable when the peer is gone or silent."""
        text = bytearray()
        with _patience(self._silence_s):
            async with asyncio.timeout(self._silence_s):
                while isinstance(frame := await self.receive(), bytes):
                    text += frame
                    if len(text) > LONGEST_TEXT:
                        cause = f"the other server describes more than {LONGEST_TEXT >> 20} MiB"
                        raise Invalid("migration", cause=cause)
        if frame is None:
            _gone()
        return bytes(text)

    async def carry(self, rsync: Rsync, tell: Callable[[int], None]) -> None:
        """Carry one stream in each direction between an rsync and the peer's, to the end of both.

        `tell` is given the bytes that moved, twice a second. Raises Unavailable when the peer is gone or nothing moves
        any more, HostError when our rsync fails.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        both = asyncio.gather(self._outward(rsync, over), self._inward(rsync))
        watch = asyncio.create_task(self._watch(tell))
        try:
            await asyncio.wait([both, watch], return_when=asyncio.FIRST_COMPLETED)
            if not both.done():
                watch.result()
            await both
            await rsync.finish()
        finally:
            for task in (both, watch):
                task.cancel()
            await asyncio.gather(both, watch, return_exceptions=True)

    async def give(self, source: int, work: Awaitable[None], tell: Callable[[int], None]) -> None:
        """Send as a stream what comes out of a pipe, which is closed, while `work` puts it in. Raises as `carry`."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._moving(work, pumps.pump_out(source, self, over), tell)
        await self.send(END)

    async def take(self, sink: int, work: Awaitable[Answer], tell: Callable[[int], None]) -> Answer:
        """Write a stream into a pipe, which is closed, while `work` reads it; what that makes. Raises as `carry`."""

        async def inward() -> None:
            if not await pumps.pump_in(self, sink):
                _gone()

        return await self._moving(work, inward(), tell)

    async def _moving(self, work: Awaitable[Answer], moves: Awaitable[None], tell: Callable[[int], None]) -> Answer:
        """Do work while bytes move, both to their ends. Raises Unavailable when nothing moves any more."""
        working, moving = asyncio.ensure_future(work), asyncio.ensure_future(moves)
        watch = asyncio.create_task(self._watch(tell))
        try:
            pending: set[asyncio.Future[Any]] = {working, moving}
            while pending and not watch.done():
                done, _ = await asyncio.wait([*pending, watch], return_when=asyncio.FIRST_COMPLETED)
                for task in done & pending:
                    task.result()
                pending -= done
            if pending:
                watch.result()
            return working.result()
        finally:
            for task in (working, moving, watch):
                task.cancel()
            await asyncio.gather(working, moving, watch, return_exceptions=True)

    async def _outward(self, rsync: Rsync, over: "asyncio.Future[None]") -> None:
        await pumps.pump_out(rsync.output, self, over)
        self.ends += 1
        await self.send(END)

    async def _inward(self, rsync: Rsync) -> None:
        is_whole = await pumps.pump_in(self, rsync.input)
        rsync.heard_all()
        if not is_whole:
            _gone()

    async def _watch(self, tell: Callable[[int], None]) -> None:
        """Tell what moves. Raises Unavailable when nothing moves in either direction."""
        loop = asyncio.get_running_loop()
        seen, since = self.moved, loop.time()
        while loop.time() - since < self._silence_s:
            await asyncio.sleep(min(_EVERY_S, self._silence_s))
            if (moved := self.moved - seen) > 0:
                seen, since = self.moved, loop.time()
                tell(moved)
        _silent(self._silence_s)


@contextmanager
def _patience(silence_s: float) -> Generator[None, None, None]:
    try:
        yield
    except TimeoutError:
        _silent(silence_s)


def _silent(silence_s: float) -> NoReturn:
    cause = f"nothing has come from the other server for {silence_s:g} s"
    raise Unavailable("migration", cause=cause, remedy="is it still reachable?")


def _gone() -> NoReturn:
    cause = "the other server has closed the connection"
    raise Unavailable("migration", cause=cause, remedy="its log tells why")
