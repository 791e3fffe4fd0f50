"""Every effect of receiving and of sending an instance: what if it fails, is the daemon's last, or is cancelled?

Afterwards the target is whole or gone, and the source as it was. The other side is a daemon without faults.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.faults.strikes import Strikes, succeeded
from tests.faults.test_snapshots import check_pool, note, write
from tests.faults.work import Outcome, Work
from tests.harness.certificates import Identity, make
from tests.harness.daemon import Daemon
from tests.harness.network import listen
from tests.harness.processes import eventually

LEAST = 10


class Pair:
    """A daemon without faults, and how instances go between it and one that has some."""

    def __init__(self, daemon: Daemon, identity: Identity) -> None:
        self.daemon, self._identity = daemon, identity
        self.open(daemon)

    def open(self, daemon: Daemon) -> None:
        """Let a daemon listen, and trust the client, unless it does already."""
        body = {"type": "client", "name": "faults", "certificate": base64.b64encode(self._identity.der).decode()}
        if daemon.request("POST", "/1.0/certificates", body).status == 201:
            listen(daemon)

    def receive(self, work: Work, name: str) -> list[Outcome]:
        """Have the faulty daemon pull an instance of the healthy one."""
        return work.do(("POST", "/1.0/instances", {"name": name, "source": self._source(self.daemon, "origin")}))

    def send(self, work: Work, name: str) -> list[Outcome]:
        """Have the healthy daemon pull an instance of the faulty one."""
        source = self._source(work.daemon, name)
        done = [self.daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})]
        # The source has something to write down when the target is ready already.
        eventually(lambda: "running" not in work.operations(), what="the source's operation")
        return done

    def _source(self, daemon: Daemon, name: str) -> dict[str, Any]:
        environment = daemon.request("GET", "/1.0").metadata["environment"]
        sent = daemon.request("POST", f"/1.0/instances/{name}", {"name": name, "migration": True}).metadata
        return {
            "type": "migration",
            "mode": "pull",
            "operation": f"https://{environment['addresses'][0]}/1.0/operations/{sent['id']}",
            "certificate": environment["certificate"],
            "secrets": sent["metadata"],
        }

    def delete(self, name: str) -> None:
        """Take an instance off the healthy side, if it is there."""
        self.daemon.operation("DELETE", f"/1.0/instances/{name}") if name in self.daemon.instance_names() else None


@pytest.fixture(scope="module")
def pair(crew: list[Work]) -> Iterator[Pair]:
    """The healthy daemon, which has the instance `origin`; it goes before the crew looks for what is left."""
    _ = crew
    daemon = Daemon()
    try:
        daemon.start().initialise()
        pair = Pair(daemon, make("root@faults"))
        image = crew[0].daemon.request("GET", f"/1.0/images/{crew[0].image}/export").body
        added = daemon.operation("POST", "/1.0/images", image)
        assert added["status"] == "Success", added
        source = {"type": "image", "fingerprint": added["metadata"]["fingerprint"]}
        for body in ({"name": "origin", "source": source},):
            assert daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
        assert daemon.operation("POST", "/1.0/instances/origin/snapshots", {"name": "s1"})["status"] == "Success"
        yield pair
    finally:
        daemon.forget()
        daemon.remove()


def whole_or_gone(work: Work, name: str, done: list[Outcome]) -> None:
    """The target; it is there when its operation said so."""
    if done and done[-1]["status"] == "Success":
        assert work.says(name) == "Stopped"
    if work.status(name) != "gone":
        work.make_whole(name)
    check_pool(work)


def effects(work: Work, part: Any) -> list[str]:
    name = work.new_name()
    work.rest()
    found = work.faults.of(name, lambda: succeeded(part(work, name)))
    work.delete(name)
    return found


@pytest.mark.parametrize("mode", ["fail", "cancel"])
def test_receiving_that_fails_leaves_nothing(crew: list[Work], pair: Pair, mode: str) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        if done[-1]["status"] in ("Failure", "Cancelled"):
            assert work.status(name) == "gone"
        whole_or_gone(work, name, done)

    Strikes(mode, pair.receive, check).strike(crew, effects(crew[0], pair.receive), least=LEAST)


def test_a_daemon_killed_while_receiving_leaves_it_whole_or_gone(crew: list[Work], pair: Pair) -> None:
    def part(work: Work, name: str) -> list[Outcome]:
        return work.die_during(lambda name: pair.receive(work, name), name)

    Strikes("kill", part, whole_or_gone).strike(crew, effects(crew[0], pair.receive), least=LEAST)


def stopped(pair: Pair, work: Work, name: str) -> list[Outcome]:
    """An instance on the faulty side, with a note."""
    pair.open(work.daemon)
    done = work.do(("POST", "/1.0/instances", {"name": name, "source": {"type": "image", "fingerprint": work.image}}))
    write(work, name, "mine")
    return succeeded(done)


@pytest.mark.parametrize("mode", ["fail", "kill"])
def test_a_source_that_fails_is_as_it_was(crew: list[Work], pair: Pair, mode: str) -> None:
    def send(work: Work, name: str) -> list[Outcome]:
        if mode == "kill":
            return work.die_during(lambda name: pair.send(work, name), name)
        return pair.send(work, name)

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        _ = done
        eventually(lambda: "running" not in pair.daemon.request("GET", "/1.0/operations").metadata, what="the target")
        pair.delete(name)
        assert note(work, name) == "mine"
        work.make_whole(name)
        check_pool(work)

    name = crew[0].new_name()
    stopped(pair, crew[0], name)
    crew[0].rest()
    found = crew[0].faults.of(name, lambda: succeeded(pair.send(crew[0], name)))
    pair.delete(name)
    crew[0].delete(name)
    Strikes(mode, send, check, partial(stopped, pair)).strike(crew, found, least=5)
