"""What is cancelled, or goes wrong, when the other side has all already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lightervisor.errors import Failure, Unavailable
from lightervisor.migration.frames import Control
from lightervisor.migration.live import LiveSending, bring_back, until_too_late
from lightervisor.migration.talk import Talk


class Wire:
    """A websocket on which the other end says what it is given, and goes with None."""

    is_on_this_host = True

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[bytes | str] = []

    async def receive(self) -> bytes | None:
        return await self.said.get()

    async def send(self, frame: bytes | str) -> None:
        self.sent.append(frame)
        if isinstance(frame, bytes) and not Control.decode(frame).success:  # a peer that heeds it
            self.said.put_nowait(frame)

    async def close(self) -> None:
        return


def talked() -> tuple[Wire, Talk]:
    """A talk whose end is waited for."""
    wire = Wire()
    talk = Talk(wire, Wire(), 5)
    talk.agreed(0)
    return wire, talk


def given(talk: Talk, send: Callable[[], Awaitable[None]]) -> Awaitable[None]:
    """The last files, and the verdict."""
    sending: Any = LiveSending(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())  # pyright: ignore[reportArgumentType]
    return sending._given(talk, send, lambda: talk.fs.ends == 0)


async def test_a_connection_that_is_cut_before_the_end_lets_it_go_on() -> None:
    async def cut() -> None:
        raise Unavailable("migration", cause="cut")

    wire, talk = talked()
    with pytest.raises(Unavailable, match="cut"):
        await given(talk, cut)
    assert wire.sent == []


@pytest.mark.parametrize("verdict", ["runs", "does not", "gone"])
async def test_after_the_end_only_the_other_side_knows(verdict: str) -> None:
    async def cut() -> None:
        talk.fs.ends += 1
        wire.said.put_nowait(Control(success=True).encode() if verdict == "runs" else None)
        if verdict == "does not":
            wire.said.get_nowait()
        raise Unavailable("migration", cause="cut")

    wire, talk = talked()
    if verdict == "runs":
        await given(talk, cut)
    else:
        with pytest.raises(Unavailable if verdict == "does not" else Exception) as caught:
            await given(talk, cut)
        assert isinstance(caught.value, Failure) == (verdict == "does not")
    assert len(wire.sent) == 1


async def test_a_cancellation_that_is_too_late_tells_the_other_side_and_waits() -> None:
    wire, talk = talked()
    asking = asyncio.ensure_future(until_too_late(waiting(talk), lambda: False, talk.control.fail))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(wire.sent) == 1

    wire, talk = talked()
    asking = asyncio.ensure_future(until_too_late(waiting(talk), lambda: False))
    await asyncio.sleep(0)
    asking.cancel()
    wire.said.put_nowait(Control(success=True).encode())
    await asking


async def waiting(talk: Talk) -> None:
    """Fails with what the other side says."""
    if not (await talk.ended()).success:
        raise Failure("migration", text="no")


@pytest.mark.parametrize("word", [Control(success=False, message="cancelled").encode(), None])
async def test_what_nobody_waits_for_any_more_does_not_run(word: bytes | None) -> None:
    async def restore(_project: str, _name: str, settle: Callable[[], Awaitable[None]]) -> None:
        wire.said.put_nowait(word)
        await asyncio.sleep(0.01)
        await settle()
        raise AssertionError("it runs")

    wire, talk = talked()
    memory: Any = SimpleNamespace(bring_back=restore)
    row: Any = SimpleNamespace(project="default", name="c1")
    nothing: Any = SimpleNamespace()
    with pytest.raises(Failure, match="cancelled" if word else "closed the connection"):
        await bring_back(nothing, talk, memory, row)
    assert wire.sent == []


async def test_what_is_committed_is_told_whatever_is_cancelled() -> None:
    async def restore(_project: str, _name: str, settle: Callable[[], Awaitable[None]]) -> None:
        await settle()
        task.cancel()
        await asyncio.sleep(0.01)

    async def commit() -> None:
        return

    wire, talk = talked()
    memory: Any = SimpleNamespace(bring_back=restore)
    row: Any = SimpleNamespace(project="default", name="c1")
    run: Any = SimpleNamespace(commit=commit)
    task = asyncio.ensure_future(bring_back(run, talk, memory, row))
    await task
    assert wire.sent == [Control(success=True).encode()]
