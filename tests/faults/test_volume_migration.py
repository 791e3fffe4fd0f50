"""Every effect of receiving, refreshing and sending a volume: what if it fails, is the daemon's last, or is cancelled?

Afterwards the target is whole or gone, a refreshed one as it was or as it was to be, and the source as it was. The
other side is a daemon without faults.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.strikes import Part, Strikes, dying
from tests.faults.test_migration import Pair
from tests.faults.test_volume_copies import HERE, WHOLE, held, make, place, url
from tests.faults.work import Outcome, Work
from tests.harness.certificates import make as identity
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

LEAST = 5
MODES = pytest.mark.parametrize("mode", ["fail", "kill", "cancel"])


@pytest.fixture(scope="module")
def pair(crew: list[Work]) -> Iterator[Pair]:
    """The healthy daemon, which has the volume `origin`."""
    _ = crew
    daemon = Daemon()
    try:
        daemon.start().initialise()
        made = Pair(daemon, identity("root@faults"))
        assert daemon.request("POST", url(HERE), {"name": "origin", "config": {"user.a": "b"}}).status == 200
        file = daemon.state / "storage-pools" / HERE / "custom/default_origin/rootfs/file"
        file.write_text("s1")
        assert daemon.operation("POST", f"{url(HERE, 'origin')}/snapshots", {"name": "s1"})["status"] == "Success"
        file.write_text("now")
        with sqlite3.connect(daemon.state / "database/lightervisor.db", timeout=30) as database:
            # Servers tell snapshots of the same name apart by the second.
            database.execute("update volume_snapshots set created_at = '2026-01-02T03:04:05+00:00'")
        database.close()
        yield made
    finally:
        daemon.forget()
        daemon.remove()


def source(daemon: Daemon, name: str, *, refresh: bool = False) -> dict[str, Any]:
    environment = daemon.request("GET", "/1.0").metadata["environment"]
    sent = daemon.request("POST", url(HERE, name), {"name": name, "migration": True}).metadata
    return {
        "type": "migration",
        "mode": "pull",
        "operation": f"https://{environment['addresses'][0]}/1.0/operations/{sent['id']}",
        "certificate": environment["certificate"],
        "secrets": sent["metadata"],
        "refresh": refresh,
    }


def receiving(pair: Pair, *, refresh: bool = False) -> Part:
    """Have the faulty daemon pull a volume of the healthy one."""

    def part(work: Work, name: str) -> list[Outcome]:
        told = source(pair.daemon, "origin", refresh=refresh)
        return work.do(("POST", url(HERE), {"name": name, "config": {"user.a": "b"}, "source": told}))

    return part


def old(work: Work, name: str) -> list[Outcome]:
    """A volume that is to be refreshed: other files, another snapshot of the same name, and one that is odd."""
    assert work.daemon.request("POST", url(HERE), {"name": name, "config": {"user.a": "b"}}).status == 200
    (place(work, HERE, name) / "rootfs/file").write_text("old")
    taken = f"{url(HERE, name)}/snapshots"
    return work.do(("POST", taken, {"name": "s1"}), ("POST", taken, {"name": "odd"}))


def nothing(work: Work, name: str) -> list[Outcome]:
    _ = work, name
    return []


def strike(crew: list[Work], mode: str, part: Part, prepare: Part, check: Any) -> None:
    def checked(work: Work, name: str, done: list[Outcome]) -> None:
        check(work, name, done)
        work.daemon.request("DELETE", url(HERE, name))
        assert held(work, HERE, name) == {}
        work.rest()

    name = crew[0].new_name()
    prepare(crew[0], name)
    effects = crew[0].faults.of(name, lambda: part(crew[0], name))
    checked(crew[0], name, [{"status": "Success"}])
    Strikes(mode, dying(part) if mode == "kill" else part, checked, prepare).strike(crew, effects, least=LEAST)


@MODES
def test_a_volume_that_arrives_is_whole_or_gone(crew: list[Work], pair: Pair, mode: str) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        found = held(work, HERE, name)
        assert found in ({}, WHOLE)
        if done and done[-1]["status"] != "Success" and mode == "cancel":
            assert found == {}
        if done and done[-1]["status"] == "Success":
            assert found == WHOLE

    strike(crew, mode, receiving(pair), nothing, check)


@MODES
def test_a_refreshed_volume_is_whole_at_every_moment(crew: list[Work], pair: Pair, mode: str) -> None:
    part = receiving(pair, refresh=True)

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        _ = done
        found = held(work, HERE, name)
        assert found[""] in ("old", "now") and set(found) - {""} <= {"odd", "s1"}, found
        assert found["s1"] in ("old", "s1") and found.get("odd", "old") == "old"
        assert part(work, name)[-1]["status"] == "Success"
        assert held(work, HERE, name) == WHOLE

    strike(crew, mode, part, old, check)


@pytest.mark.parametrize("mode", ["fail", "kill"])
def test_a_source_is_as_it_was(crew: list[Work], pair: Pair, mode: str) -> None:
    def send(work: Work, name: str) -> list[Outcome]:
        """Have the healthy daemon pull a volume of the faulty one."""
        told = source(work.daemon, name)
        done = [pair.daemon.operation("POST", url(HERE), {"name": name, "source": told})]
        eventually(lambda: "running" not in work.operations(), what="the source's operation")
        return done

    def prepare(work: Work, name: str) -> list[Outcome]:
        pair.open(work.daemon)
        return make(work, name)

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        _ = done
        assert held(work, HERE, name) == WHOLE
        eventually(lambda: "running" not in pair.daemon.request("GET", "/1.0/operations").metadata, what="the target")
        pair.daemon.request("DELETE", url(HERE, name))

    strike(crew, mode, send, prepare, check)
