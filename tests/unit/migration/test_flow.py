"""Peers that are silent, or gone, on a line of a migration."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

import pytest

from lightervisor.errors import Failure, Unavailable
from lightervisor.migration.flow import Line
from lightervisor.migration.frames import Control, Header
from lightervisor.migration.talk import Talk


class Wire:
    """A websocket whose other end says these frames and then goes, or says nothing for ever."""

    is_on_this_host = True

    def __init__(self, *frames: bytes | str | None, is_silent: bool = False) -> None:
        self._frames, self._is_silent = list(frames), is_silent
        self.sent: list[bytes | str] = []

    async def receive(self) -> bytes | str | None:
        if self._frames:
            return self._frames.pop(0)
        if self._is_silent:
            await asyncio.Event().wait()
        return None

    async def send(self, frame: bytes | str) -> None:
        self.sent.append(frame)

    async def close(self) -> None:
        return


async def test_a_silent_peer_is_given_up() -> None:
    with pytest.raises(Unavailable, match=r"nothing has come from the other server for 0\.05 s"):
        await Line(Wire(is_silent=True), 0.05).message(Header)


async def test_a_stream_that_has_no_end_is_given_up() -> None:
    with pytest.raises(Unavailable, match="nothing has come"):
        await Line(Wire(b"beginning", is_silent=True), 0.05).text()


async def test_a_peer_that_goes_in_the_middle_of_a_stream_is_told_of() -> None:
    with pytest.raises(Unavailable, match="has closed the connection"):
        await Line(Wire(b"beginning"), 1).text()


async def test_a_stream_ends_with_a_text_frame() -> None:
    assert await Line(Wire(b"one ", b"text", "", b"more"), 1).text() == b"one text"


async def test_work_ends_when_the_other_side_gives_up() -> None:
    control = Wire(Control(success=False, message="no space").encode(), is_silent=True)
    talk = Talk(control, Wire(is_silent=True), 1)
    talk.agreed(0)
    with pytest.raises(Failure, match="no space"):
        await talk.unless_ended(asyncio.Event().wait())
    await talk.close()


async def test_what_failed_here_is_said_unless_the_other_side_knows_better() -> None:
    async def fail() -> None:
        raise Unavailable("migration", cause="cut")

    knows = Talk(Wire(Control(success=False, message="no space").encode()), Wire(), 1)
    knows.agreed(0)
    with pytest.raises(Failure, match="no space"):
        await knows.unless_ended(fail())
    await knows.close()
    gone = Talk(Wire(), Wire(), 1)
    gone.agreed(0)
    with pytest.raises(Unavailable, match="cut"):
        await gone.unless_ended(fail())
    await gone.close()


async def test_a_large_message_is_read_beside_the_loop() -> None:
    readers: list[int] = []

    class Noted(Control, frozen=True, kw_only=True):
        @classmethod
        def decode(cls, data: bytes) -> Self:
            readers.append(threading.get_ident())
            return super().decode(data)

    small, large = (Noted(success=True, message="x" * size) for size in (10, 1 << 17))
    line = Line(Wire(small.encode(), large.encode()), 1)
    assert [await line.message(Noted), await line.message(Noted)] == [small, large]
    assert readers[0] == threading.get_ident() != readers[1]
