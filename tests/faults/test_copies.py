"""Every effect of copying, refreshing and moving an instance on one server: what if it fails, or is the daemon's last?

Afterwards the source is what it was, the copy is whole or gone, the moved instance is whole in one pool, nothing
is left behind, and the same request succeeds.
"""

from __future__ import annotations

import pytest

from tests.faults.strikes import Part, strike, succeeded
from tests.faults.test_snapshots import (
    LEAST,
    MODES,
    check_pool,
    configure,
    configured,
    note,
    snapshots,
    take,
    write,
)
from tests.faults.work import STOP, Outcome, Work

POOLS = {"default": "overlay", "other": "dir", "third": "overlay"}


@pytest.fixture(scope="module", autouse=True)
def pools(crew: list[Work]) -> None:
    """More pools than one."""
    for work in crew:
        for name in ("other", "third"):
            body = {"name": name, "driver": POOLS[name]}
            assert work.daemon.request("POST", "/1.0/storage-pools", body).status == 201


def root(pool: str) -> dict[str, dict[str, str]]:
    return {"root": {"type": "disk", "path": "/", "pool": pool}}


def copied(name: str) -> str:
    return f"copy-{name}"


# The parts


def copying(pool: str, **fields: object) -> Part:
    def copy(work: Work, name: str) -> list[Outcome]:
        source = {"type": "copy", "source": name, **fields}
        return work.do(("POST", "/1.0/instances", {"name": copied(name), "source": source, "devices": root(pool)}))

    return copy


def moving(pool: str) -> Part:
    return lambda work, name: work.do(("POST", f"/1.0/instances/{name}", {"migration": True, "pool": pool}))


# What they begin with


def in_pool(pool: str) -> Part:
    """A stopped instance with a snapshot: what is noted in it is "one" in the snapshot and "two" now."""

    def prepare(work: Work, name: str) -> list[Outcome]:
        source = {"type": "image", "fingerprint": work.image}
        body = {"name": name, "source": source, "devices": root(pool), "config": {"user.note": "one"}}
        done = succeeded(work.do(("POST", "/1.0/instances", body)))
        write(work, name, "one")
        succeeded(take(work, name))
        write(work, name, "two")
        return done

    return prepare


def running(work: Work, name: str) -> list[Outcome]:
    done = succeeded(work.launch(name, has_network=False))
    write(work, name, "one")
    configure(work, name, "one")
    succeeded(take(work, name))
    write(work, name, "two")
    return done


def with_copy(prepare: Part, pool: str) -> Part:
    """The copy has a snapshot of its own and lacks the source's newest."""

    def both(work: Work, name: str) -> list[Outcome]:
        done = prepare(work, name)
        succeeded(copying(pool)(work, name))
        succeeded(work.do(("POST", snapshots(copied(name)), {"name": "own"})))
        write(work, copied(name), "mine")
        succeeded(work.do(("DELETE", f"{snapshots(name)}/s1", {})))  # that of the copy is another one from now on
        write(work, name, "one")
        succeeded(take(work, name))
        succeeded(work.do(("POST", snapshots(name), {"name": "s2"})))
        write(work, name, "three")
        return done

    return both


# What must be true afterwards


def kept(work: Work, name: str) -> list[str]:
    return [url.rpartition("/")[2] for url in work.daemon.request("GET", snapshots(name)).metadata]


def is_whole(work: Work, name: str, *, now: str, then: str = "one") -> None:
    """What the instance and its snapshot hold; both are taken away, the instance after a run."""
    assert note(work, name) == now
    if work.says(name) == "Running":
        succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", STOP)))
    succeeded(work.do(("PUT", f"/1.0/instances/{name}", {"restore": "s1"})))
    assert (note(work, name), configured(work, name)) == (then, "one")
    work.make_whole(name)
    check_pool(work)


@MODES
@pytest.mark.parametrize(
    ("source", "target"),
    [("default", "default"), ("default", "other"), ("other", "default"), ("other", "other"), ("default", "third")],
)
def test_a_copy_is_whole_or_absent(crew: list[Work], mode: str, source: str, target: str) -> None:
    copy = copying(target)

    def check(work: Work, name: str, how: str) -> None:
        if not work.says(copied(name)):
            assert how != "Success"
            assert work.status(copied(name)) == "gone"
            succeeded(copy(work, name))
        assert kept(work, copied(name)) == ["s1"]
        is_whole(work, copied(name), now="two")
        is_whole(work, name, now="two")

    strike(crew, mode, copy, in_pool(source), check, least=LEAST)


@MODES
def test_the_source_of_a_copy_goes_on_running(crew: list[Work], mode: str) -> None:
    copy = copying("default")

    def check(work: Work, name: str, how: str) -> None:
        assert work.says(name) == "Running"
        if not work.says(copied(name)):
            assert how != "Success"
            assert work.status(copied(name)) == "gone"
            succeeded(copy(work, name))
        is_whole(work, copied(name), now="two")
        is_whole(work, name, now="two")

    strike(crew, mode, copy, running, check, least=LEAST)


@MODES
@pytest.mark.parametrize("target", ["default", "other"])
def test_a_copy_is_refreshed_or_what_it_was(crew: list[Work], mode: str, target: str) -> None:
    refresh = copying(target, refresh=True)

    def check(work: Work, name: str, how: str) -> None:
        found = (note(work, copied(name)), kept(work, copied(name)))
        old, new = ("mine", ["s1", "own"]), ("three", ["s1", "s2"])
        assert found[0] in ("mine", "three")
        assert set(found[1]) <= {"s1", "own", "s2"}
        assert "s1" in found[1]
        assert found == new or how != "Success"
        if found not in (old, new):  # its snapshots go last
            assert found[0] == "three" or "own" in found[1]
        succeeded(refresh(work, name))
        assert (note(work, copied(name)), kept(work, copied(name))) == new
        assert kept(work, name) == ["s1", "s2"]
        is_whole(work, copied(name), now="three")
        is_whole(work, name, now="three")

    strike(crew, mode, refresh, with_copy(in_pool("default"), target), check, least=LEAST)


@MODES
@pytest.mark.parametrize(
    ("source", "target"), [("default", "other"), ("other", "default"), ("default", "third"), ("third", "default")]
)
def test_an_instance_is_moved_or_stays(crew: list[Work], mode: str, source: str, target: str) -> None:
    move = moving(target)

    def check(work: Work, name: str, how: str) -> None:
        devices = work.daemon.request("GET", f"/1.0/instances/{name}").metadata["expanded_devices"]
        pool = devices["root"]["pool"]
        assert pool == target or (pool == source and how != "Success")
        for folder in ("containers", "containers-snapshots"):
            found = work.daemon.state.glob(f"storage-pools/*/{folder}/{name}")
            assert [path.parent.parent.name for path in found] == [pool]
        if pool != target:
            succeeded(move(work, name))
        assert kept(work, name) == ["s1"]
        is_whole(work, name, now="two")

    strike(crew, mode, move, in_pool(source), check, least=LEAST)


@pytest.mark.parametrize("target", ["default", "other"])
def test_a_copy_that_is_cancelled_leaves_nothing(crew: list[Work], target: str) -> None:
    copy = copying(target)

    def check(work: Work, name: str, how: str) -> None:
        if how == "Cancelled":
            assert work.status(copied(name)) == "gone"
            succeeded(copy(work, name))
        is_whole(work, copied(name), now="two")
        is_whole(work, name, now="two")

    strike(crew, "cancel", copy, in_pool("default"), check, least=LEAST)
