"""Operations over a real journal: whole or undone, cancelled or waited for, their websockets guarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from lightervisor.db import journal as rows
from lightervisor.db.database import Database
from lightervisor.errors import Forbidden, HostError, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import Locks
from lightervisor.operations.operations import Channel, Operations, Run


@dataclass
class Bench:
    """Operations and what their steps did and undid."""

    database: Database
    events: Events
    journal: Journal
    operations: Operations
    log: list[str] = field(default_factory=list[str])
    is_stubborn: bool = True

    async def step(self, run: Run, name: str) -> None:
        async def act() -> None:
            self.log.append(name)

        await run.step(act, undo="undo", arguments={"name": name})

    async def undo(self, arguments: Mapping[str, str]) -> None:
        self.log.append(f"undo {arguments['name']}")
        if arguments["name"] == "stubborn" and self.is_stubborn:
            raise HostError("step", "stubborn")

    def noted(self) -> int:
        return len(list(rows.unfinished(self.database.reader)))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = Database(tmp_path / "database")
    database.open()
    events, journal = Events(), Journal(database)
    made = Bench(database, events, journal, Operations(events, journal, Locks()))
    journal.register("undo", made.undo)
    yield made
    await made.operations.close(5)
    database.close()


async def test_the_end_is_told_also_of_what_never_began(bench: Bench) -> None:
    async def work(_run: Run) -> None:
        bench.log.append("work")

    async with bench.operations.locks.hold(["a"]):
        waits = bench.operations.start("W", work, locks=["a"], cancellable=True, at_end=lambda: bench.log.append("end"))
        await asyncio.sleep(0)
        bench.operations.cancel(waits.id)
        assert (await bench.operations.wait(waits.id, 5)).status == "Cancelled"
    assert bench.log == ["end"]


async def test_what_ends_well_is_not_undone(bench: Bench) -> None:
    async def work(run: Run) -> None:
        await bench.step(run, "one")
        await bench.step(run, "two")

    ended = await bench.operations.wait(bench.operations.start("Working", work).id, 5)
    assert (ended.status, ended.status_code, ended.err) == ("Success", 200, "")
    assert bench.log == ["one", "two"]
    assert bench.noted() == 0


async def test_what_fails_is_undone_last_step_first(bench: Bench) -> None:
    async def work(run: Run) -> None:
        await bench.step(run, "one")
        await bench.step(run, "two")
        raise HostError("disk", cause="is full", remedy="make room")

    ended = await bench.operations.wait(bench.operations.start("Working", work).id, 5)
    assert (ended.status, ended.err) == ("Failure", "Disk: is full (make room)")
    assert bench.log == ["one", "two", "undo two", "undo one"]
    assert bench.noted() == 0


async def test_an_undo_that_fails_stays_noted_for_the_next_start(bench: Bench) -> None:
    async def work(run: Run) -> None:
        await bench.step(run, "one")
        await bench.step(run, "stubborn")
        raise HostError("disk")

    await bench.operations.wait(bench.operations.start("Working", work).id, 5)
    assert bench.log[2:] == ["undo stubborn", "undo one"]
    assert bench.noted() > 0
    bench.log.clear()
    assert await bench.journal.recover() == 1
    assert bench.log[0] == "undo stubborn"


async def test_what_could_not_be_undone_is_tried_again_before_its_place_is_taken(bench: Bench) -> None:
    async def work(run: Run) -> None:
        await bench.step(run, "one")
        await bench.step(run, "stubborn")
        raise Invalid("work")

    async def again(run: Run) -> None:
        bench.log.append(str(await run.undo_left("undo", {"name": "other"})))
        bench.log.append(str(await run.undo_left("undo", {"name": "stubborn"})))

    await bench.operations.wait(bench.operations.start("W", work).id, 5)
    bench.log.clear()
    await bench.operations.wait(bench.operations.start("W", again).id, 5)
    assert bench.log == ["True", "undo stubborn", "undo one", "False"]
    assert bench.noted() == 2
    bench.log.clear()
    bench.is_stubborn = False
    await bench.operations.wait(bench.operations.start("W", again).id, 5)
    assert bench.log == ["True", "undo stubborn", "undo one", "True"]
    assert bench.noted() == 0


async def test_what_a_dead_daemon_left_is_undone_at_the_next_start(bench: Bench) -> None:
    for sequence, name in enumerate(("one", "two")):
        await bench.journal.note(rows.JournalRow("dead", sequence, "undo", {"name": name}))
    assert await bench.journal.recover() == 1
    assert bench.log == ["undo two", "undo one"]
    assert bench.noted() == 0
    assert await bench.journal.recover() == 0


async def test_a_cancelled_operation_is_undone(bench: Bench) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def work(run: Run) -> None:
        await bench.step(run, "one")
        reached.set()
        await never.wait()

    started = bench.operations.start("Working", work, cancellable=True)
    assert started.may_cancel
    await reached.wait()
    bench.operations.cancel(started.id)
    ended = await bench.operations.wait(started.id, 5)
    assert (ended.status, ended.status_code, ended.may_cancel) == ("Cancelled", 401, False)
    assert bench.log == ["one", "undo one"]
    with pytest.raises(Invalid, match="Only running operations can be cancelled"):
        bench.operations.cancel(started.id)


async def test_what_cannot_be_cancelled_goes_on(bench: Bench) -> None:
    go = asyncio.Event()

    async def work(_run: Run) -> None:
        await go.wait()

    started = bench.operations.start("Working", work)
    with pytest.raises(Invalid, match="can't be cancelled"):
        bench.operations.cancel(started.id)
    assert (await bench.operations.wait(started.id, 0)).status == "Running"
    go.set()
    assert (await bench.operations.wait(started.id, 5)).status == "Success"


async def test_operations_on_one_thing_follow_each_other(bench: Bench) -> None:
    first_may_end = asyncio.Event()

    async def first(run: Run) -> None:
        bench.log.append("first begins")
        await first_may_end.wait()
        bench.log.append("first ends")

    async def second(run: Run) -> None:
        bench.log.append("second")

    bench.operations.start("Working", first, locks=["a", "b"])
    later = bench.operations.start("Working", second, locks=["b", "c"])
    assert (await bench.operations.wait(later.id, 0.05)).status == "Running"
    first_may_end.set()
    await bench.operations.wait(later.id, 5)
    assert bench.log == ["first begins", "first ends", "second"]


async def test_a_secret_opens_one_websocket_once(bench: Bench) -> None:
    done, connected = asyncio.Event(), list[str]()

    async def work(_run: Run) -> None:
        await done.wait()

    async def connect(name: str, _channel: Channel) -> None:
        connected.append(name)

    started = bench.operations.start("Working", work, sockets=["0", "control"], connect=connect)
    fds = (started.metadata or {})["fds"]
    assert started.class_ == "websocket"
    with pytest.raises(Forbidden):
        bench.operations.claim(started.id, "wrong")
    with pytest.raises(Forbidden):
        bench.operations.claim(started.id, "")
    assert bench.operations.claim(started.id, fds["control"]) == "control"
    with pytest.raises(Forbidden):
        bench.operations.claim(started.id, fds["control"])
    with pytest.raises(NotFound):
        bench.operations.claim("nothing", fds["0"])
    done.set()
    await bench.operations.wait(started.id, 5)


async def test_listeners_are_told_of_every_change(bench: Bench) -> None:
    async def work(run: Run) -> None:
        run.progress("download_progress", "50%")

    with bench.events.subscribe(frozenset({"operation"}), "default") as subscription:
        started = bench.operations.start("Working", work)
        await bench.operations.wait(started.id, 5)
        bench.events.close()
        told = [msgspec.json.decode(event)["metadata"] async for event in subscription]
    assert [one["status"] for one in told] == ["Running", "Running", "Success"]
    assert told[1]["metadata"] == {"download_progress": "50%"}


async def test_a_stopping_daemon_ends_and_undoes_what_runs(bench: Bench) -> None:
    reached = asyncio.Event()

    async def work(run: Run) -> None:
        await bench.step(run, "one")
        reached.set()
        await asyncio.Event().wait()

    started = bench.operations.start("Working", work)
    await reached.wait()
    await bench.operations.close(0.01)
    assert bench.operations.get(started.id).status == "Cancelled"
    assert bench.log == ["one", "undo one"]


async def test_a_token_holds_until_it_is_cancelled(bench: Bench) -> None:
    token = bench.operations.add_token(
        "Image download token", resources={"images": ["/1.0/images/a"]}, metadata={"a": 1}
    )
    assert token.metadata is not None
    assert (token.class_, token.status, len(token.metadata["secret"])) == ("token", "Running", 64)
    assert [one.id for one in bench.operations.tokens("Image download token")] == [token.id]
    assert bench.operations.tokens("another kind") == []
    bench.operations.cancel(token.id)
    assert bench.operations.tokens("Image download token") == []
    assert (await bench.operations.wait(token.id, 1)).status == "Cancelled"
    with pytest.raises(Invalid, match="Only running"):
        bench.operations.cancel(token.id)
