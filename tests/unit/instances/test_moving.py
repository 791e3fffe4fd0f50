"""In which order an instance gets to another pool."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from lightervisor.db.instances import InstanceRow
from lightervisor.instances.moving import Moving
from lightervisor.instances.volume_copies import Origin
from lightervisor.model.instance import InstancePost
from lightervisor.operations.locks import Locks

ROW = InstanceRow(
    project="default",
    name="c1",
    architecture="x86_64",
    created_at=datetime.now(UTC),
    last_used_at=datetime.now(UTC),
    ephemeral=False,
    description="",
    config={"volatile.uuid": "1"},
    devices={"root": {"type": "disk", "path": "/", "pool": "old"}},
    profiles=[],
)


class Told:
    """Does nothing, and notes what was called, with the pool if one was named."""

    def __init__(self, calls: list[str], **known: Any) -> None:
        self._calls = calls
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: object) -> None:
            pools = [one for one in arguments if one in ("old", "new")]
            self._calls.append(" ".join([name, *map(str, pools)]))

        return call


async def test_the_files_are_there_for_good_before_the_record_says_so() -> None:
    calls: list[str] = []
    volumes = Told(
        calls,
        pool_of=lambda devices: devices["root"]["pool"],
        check_unread=lambda *_: None,
        check_new=lambda *_: None,
    )

    async def ready(*_: object) -> tuple[Origin, None]:
        return Origin("old", "default", "c1", ""), None

    async def step(work: Any, **_: object) -> None:
        await work()

    catalog = SimpleNamespace(expand=lambda row: row)
    kept = SimpleNamespace(of=lambda *_: [])
    copies = Told(calls, volumes=volumes)
    sources = SimpleNamespace(catalog=catalog, ready=ready, copies=copies, moved=lambda *_: None, snapshots=kept)
    rows = Told(calls, get=lambda *_: ROW)
    boot = Told(calls, status=lambda *_: "Stopped")
    operations = SimpleNamespace(start=lambda _description, work, **_: work, locks=Locks())
    events = SimpleNamespace(happened=lambda *_, **__: None)
    moving = Moving(*(cast("Any", one) for one in (rows, sources, boot, operations, events)))
    post = InstancePost(name="c1", migration=True, pool="new", instance_only=True)
    work = cast("Any", moving.move("default", "c1", post))
    await work(SimpleNamespace(step=step, progress=None))
    order = [one for one in calls if one.split()[0] in ("leave", "copy", "keep", "move", "delete")]
    assert order == ["leave", "copy", "keep new", "move", "delete old"]
