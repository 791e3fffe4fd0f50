"""What a request says besides the snapshot that it restores: as on the real LXD and on Incus."""

from __future__ import annotations

from typing import Any

from tests.harness.daemon import Daemon
from tests.peers.conftest import Site

VOLUMES = "/1.0/storage-pools/default/volumes/custom"
Told = dict[str, Any]


def done(daemon: Daemon, method: str, path: str, body: object = None) -> None:
    answer = daemon.request(method, path, body)
    assert answer.status < 400, answer.error
    if answer.status == 202:
        ended = daemon.request("GET", f"{answer.envelope['operation'].partition('?')[0]}/wait").metadata
        assert ended["err"] == "", ended


def restored(daemon: Daemon, one: str, more: Told) -> Told:
    """Description and keys of ours of what is restored by a request that says more."""
    done(daemon, "PATCH", one, {"config": {"user.a": "then"}, "description": "then"})
    done(daemon, "POST", f"{one}/snapshots", {"name": "s1"})
    done(daemon, "PATCH", one, {"config": {"user.a": "now", "user.b": "now"}, "description": "now"})
    done(daemon, "PUT", one, {"restore": "s1", **more})
    found = daemon.request("GET", one).metadata
    done(daemon, "DELETE", one)
    own = {key: value for key, value in found["config"].items() if key.startswith("user.")}
    return {"description": found["description"], **own}


def instance(daemon: Daemon, more: Told) -> Told:
    done(daemon, "POST", "/1.0/instances", {"name": "c1", "source": {"type": "none"}})
    return restored(daemon, "/1.0/instances/c1", more)


def volume(daemon: Daemon, more: Told) -> Told:
    done(daemon, "POST", VOLUMES, {"name": "v1", "type": "custom"})
    return restored(daemon, f"{VOLUMES}/v1", more)


def test_what_else_is_asked_for(ours: Site, theirs: Site) -> None:
    asked: list[Told] = [
        {},
        {"description": "asked"},
        {"config": {"user.c": "asked"}},
        {"config": {}, "description": "asked"},
        {"config": {"user.c": "asked"}, "description": "asked"},
    ]
    for more in asked:
        answers = [volume(site.daemon, more) for site in (ours, theirs)]
        assert answers[0] == answers[1], more
        one, other = (instance(site.daemon, more) for site in (ours, theirs))
        assert one.pop("description") == "then"  # which they lose
        assert one == {key: value for key, value in other.items() if key != "description"} == {"user.a": "then"}
