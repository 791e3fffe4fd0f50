"""What the schedule deletes of snapshots: what has ended, and what no rule of a retention keeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec

from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.instances.snapshot_schedule import SnapshotSchedule
from lightervisor.model.times import ZERO_TIME

START = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)


def row(instance: str, name: str, hours: float, *, scheduled: bool = True) -> SnapshotRow:
    return SnapshotRow(
        project="default",
        instance=instance,
        name=name,
        architecture="x86_64",
        created_at=START + timedelta(hours=hours),
        last_used_at=ZERO_TIME,
        scheduled=scheduled,
    )


def deleted(rows: list[SnapshotRow], retentions: dict[str, str], moment: datetime) -> list[str]:
    gone: list[str] = []

    async def wait(identity: str, timeout_s: float | None) -> Any:
        return SimpleNamespace(status_code=200, err="")

    def delete(project: str, instance: str, name: str) -> Any:
        gone.append(f"{instance}/{name}")
        return SimpleNamespace(id=name)

    owners = [
        (SimpleNamespace(project="default", name=name), {"snapshots.retention": value} if value else {})
        for name, value in retentions.items()
    ]
    schedule = SnapshotSchedule(
        SimpleNamespace(  # type: ignore[arg-type]
            ended=lambda now: [one for one in rows if ZERO_TIME < one.expires_at <= now],
            scheduled=lambda: [one for one in rows if one.scheduled],
        ),
        SimpleNamespace(expanded=lambda: owners),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
        SimpleNamespace(delete=delete),  # type: ignore[arg-type]
        SimpleNamespace(wait=wait),  # type: ignore[arg-type]
    )
    asyncio.run(schedule.expire(moment))
    return sorted(gone)


def test_scheduled_ones_are_thinned_out_and_others_stay() -> None:
    rows = [row("c1", f"s{hour}", hour) for hour in range(5)]
    rows.append(row("c1", "quick", 3.4))
    rows.append(row("c1", "mine", 0.1, scheduled=False))
    rows += [row("c2", "a", 0), row("c2", "b", 0.1), row("c3", "a", 0), row("c3", "b", 0.1), row("c4", "a", 0)]
    found = deleted(rows, {"c1": "3h", "c2": "", "c3": "1d", "c4": "no retention"}, START)
    assert found == ["c1/s0", "c1/s1", "c1/s3", "c3/a"]


def test_nothing_goes_because_time_passes() -> None:
    rows = [row("c1", "s0", 0), row("c1", "s1", 1)]
    assert deleted(rows, {"c1": "2h"}, START + timedelta(days=9000)) == []


def test_an_end_comes_first() -> None:
    ended = msgspec.structs.replace(row("c1", "s1", 1), expires_at=START + timedelta(hours=2))
    # Once s1 has ended, s0 is the youngest.
    assert deleted([row("c1", "s0", 0), ended], {"c1": "1h"}, START + timedelta(hours=3)) == ["c1/s1"]
    assert deleted([row("c1", "s0", 0), ended], {"c1": "1h"}, START + timedelta(hours=1)) == ["c1/s0"]
