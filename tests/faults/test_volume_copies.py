"""Every effect of copying, refreshing and moving a volume on one server: what if it fails, is the last, is cancelled?

Afterwards the source is what it was, the copy is whole or gone, the moved volume is whole in one pool, nothing is left
behind, and the same request succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.strikes import Part, Strikes, dying, told
from tests.faults.work import Outcome, Work

HERE, THERE = "default", "other"
LEAST = 2
MODES = pytest.mark.parametrize("mode", ["fail", "kill", "cancel"])
WHOLE = {"": "now", "s1": "s1"}


@pytest.fixture(scope="module", autouse=True)
def pools(crew: list[Work]) -> None:
    """More pools than one."""
    for work in crew:
        work.daemon.request("POST", "/1.0/storage-pools", {"name": THERE, "driver": "dir"})


def url(pool: str, name: str = "") -> str:
    return f"/1.0/storage-pools/{pool}/volumes/custom" + (f"/{name}" if name else "")


def place(work: Work, pool: str, name: str, snapshot: str = "") -> Path:
    folder = f"custom-snapshots/default_{name}/{snapshot}" if snapshot else f"custom/default_{name}"
    return work.daemon.state / "storage-pools" / pool / folder


def copied(name: str) -> str:
    return f"copy-{name}"


def make(work: Work, name: str) -> list[Outcome]:
    """A volume with a snapshot."""
    assert work.daemon.request("POST", url(HERE), {"name": name, "config": {"user.a": "b"}}).status == 200
    (place(work, HERE, name) / "rootfs/file").write_text("s1")
    done = work.do(("POST", f"{url(HERE, name)}/snapshots", {"name": "s1"}))
    (place(work, HERE, name) / "rootfs/file").write_text("now")
    return done


def copy(work: Work, name: str) -> list[Outcome]:
    source = {"type": "copy", "name": name, "pool": HERE}
    return work.do(("POST", url(THERE), {"name": copied(name), "source": source}))


def refresh(work: Work, name: str) -> list[Outcome]:
    source = {"type": "copy", "name": name, "pool": HERE, "refresh": True}
    return work.do(("POST", url(THERE), {"name": copied(name), "source": source}))


def make_old_copy(work: Work, name: str) -> list[Outcome]:
    """A copy that has other files, another snapshot of the same name, and one that the source has not."""
    make(work, name)
    done = copy(work, name)
    (place(work, THERE, copied(name)) / "rootfs/file").write_text("old")
    changes = (
        ("DELETE", f"{url(THERE, copied(name))}/snapshots/s1", None),
        ("POST", f"{url(THERE, copied(name))}/snapshots", {"name": "s1"}),
        ("POST", f"{url(THERE, copied(name))}/snapshots", {"name": "odd"}),
    )
    return done + work.do(*changes)


def move(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", url(HERE, name), {"name": name, "pool": THERE}))


def held(work: Work, pool: str, name: str) -> dict[str, str]:
    """What the file says in a volume and its snapshots; {} without a trace of it."""
    answer = work.daemon.request("GET", url(pool, name))
    if answer.status == 404:
        assert not place(work, pool, name).exists() and not place(work, pool, name, "s1").parent.exists()
        return {}
    listed = work.daemon.request("GET", f"{url(pool, name)}/snapshots").metadata
    names = [one.rpartition("/")[2] for one in listed]
    above = place(work, pool, name, "any").parent
    assert sorted(names) == (sorted(one.name for one in above.iterdir()) if above.exists() else [])
    file = place(work, pool, name) / "backup.yaml"
    if not file.exists():  # it could not be written when the volume had its place already: the next start does it
        work.daemon.restart()
    description = file.read_text()
    assert "user.a: b" in description and f"name: {name}\n" in description
    return {one: (place(work, pool, name, one) / "rootfs/file").read_text() for one in ["", *names]}


def strike(crew: list[Work], mode: str, part: Part, prepare: Part, look: Callable[[Work, str, bool], None]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        failed = mode == "fail" and bool(done) and told(done)
        if mode == "cancel" and done:
            assert done[-1]["status"] in ("Cancelled", "Success"), done
            failed = done[-1]["status"] == "Cancelled"
        look(work, name, failed)
        for pool, one in ((HERE, name), (THERE, copied(name)), (THERE, name)):
            work.daemon.request("DELETE", url(pool, one))
            assert held(work, pool, one) == {}
        work.rest()

    name = crew[0].new_name()
    prepare(crew[0], name)
    effects = crew[0].faults.of(name, lambda: part(crew[0], name))
    check(crew[0], name, [])
    Strikes(mode, dying(part) if mode == "kill" else part, check, prepare).strike(crew, effects, least=LEAST)


@MODES
def test_a_copy_is_whole_or_gone(crew: list[Work], mode: str) -> None:
    def look(work: Work, name: str, failed: bool) -> None:
        assert held(work, HERE, name) == WHOLE
        found = held(work, THERE, copied(name))
        assert found in (({},) if failed else (WHOLE, {}))
        if not found:
            assert copy(work, name)[0]["status"] == "Success"
            assert held(work, THERE, copied(name)) == WHOLE

    strike(crew, mode, copy, make, look)


@MODES
def test_a_refreshed_copy_is_whole_at_every_moment(crew: list[Work], mode: str) -> None:
    def look(work: Work, name: str, failed: bool) -> None:
        _ = failed
        assert held(work, HERE, name) == WHOLE
        found = held(work, THERE, copied(name))
        assert found[""] in ("old", "now") and set(found) - {""} <= {"odd", "s1"}, found
        assert found["s1"] in ("old", "s1") and found.get("odd", "old") == "old"
        assert refresh(work, name)[0]["status"] == "Success"
        assert held(work, THERE, copied(name)) == WHOLE

    strike(crew, mode, refresh, make_old_copy, look)


@MODES
def test_a_moved_volume_is_whole_in_one_pool(crew: list[Work], mode: str) -> None:
    def look(work: Work, name: str, failed: bool) -> None:
        _ = failed
        if f"volume {name} has left where it was stays until the next start" in work.daemon.log.read_text():
            work.daemon.restart()
        found = {pool: held(work, pool, name) for pool in (HERE, THERE)}
        assert sorted(found.values(), key=len) == [{}, WHOLE], found
        if found[HERE]:
            assert move(work, name)[0]["status"] == "Success"
            assert (held(work, HERE, name), held(work, THERE, name)) == ({}, WHOLE)

    strike(crew, mode, move, make, look)
