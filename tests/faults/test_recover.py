"""Every effect of `lxd recover`: what if it fails, or is the daemon's last?

Afterwards the database knows all of what was lost or nothing of it, what lies in the pool is as it was, and the same
command succeeds.
"""

from __future__ import annotations

import shutil

import pytest

from tests.faults.strikes import strike, succeeded
from tests.faults.test_snapshots import note, write
from tests.faults.work import Outcome, Work

LEAST = 6


def lost(name: str) -> str:
    """What the pool and the profile are called that go with an instance."""
    return f"lost-{name}"


def prepare(work: Work, name: str) -> list[Outcome]:
    """An instance with a snapshot and a profile, and a custom volume, in a pool of their own; no row of any of it."""
    database = work.daemon.state / "database"
    kept = work.daemon.state / "database.before"
    work.daemon.stop()
    shutil.copytree(database, kept)
    work.daemon.start()
    pool = lost(name)
    profile = {"name": pool, "config": {"user.kept": "yes"}}
    for path, body in (
        ("/1.0/storage-pools", {"name": pool, "driver": "overlay"}),
        ("/1.0/profiles", profile),
        (f"/1.0/storage-pools/{pool}/volumes/custom", {"name": "data"}),
    ):
        assert work.daemon.request("POST", path, body).status in (200, 201)
    body = {
        "name": name,
        "source": {"type": "image", "fingerprint": work.image},
        "profiles": ["default", pool],
        "devices": {"root": {"type": "disk", "path": "/", "pool": pool}},
        "config": {"user.note": "one"},
    }
    done = succeeded(work.do(("POST", "/1.0/instances", body)))
    write(work, name, "one")
    done += succeeded(work.do(("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1"})))
    write(work, name, "two")
    work.rest()
    work.daemon.stop()
    shutil.rmtree(database)
    kept.rename(database)
    work.daemon.start()
    assert work.says(name) == ""
    return done


def recover(work: Work, name: str) -> list[Outcome]:
    """Let the command find all that is lost."""
    _ = name
    done = work.daemon.run("recover", "--auto")
    return [{"status": "Success" if done.status == 0 else "Failure", "err": done.stderr}]


def known(work: Work, name: str) -> list[bool]:
    """Whether there are the pool, the profile, and the instance."""
    ask = work.daemon.request
    return [
        ask("GET", f"/1.0/{path}").status == 200
        for path in (f"storage-pools/{lost(name)}", f"profiles/{lost(name)}", f"instances/{name}")
    ]


def is_back(work: Work, name: str) -> None:
    """All that was lost is whole; it is taken away."""
    path, pool = f"/1.0/instances/{name}", f"/1.0/storage-pools/{lost(name)}"
    assert work.daemon.request("GET", path).metadata["config"]["user.note"] == "one"
    assert work.daemon.request("GET", f"/1.0/profiles/{lost(name)}").metadata["config"] == {"user.kept": "yes"}
    assert work.daemon.request("GET", f"{pool}/volumes/custom").metadata == [f"{pool}/volumes/custom/data"]
    assert note(work, name) == "two"
    succeeded(work.do(("PUT", path, {"restore": "s1"})))
    assert note(work, name) == "one"
    work.make_whole(name)
    work.rest()
    for url in (f"{pool}/volumes/custom/data", pool, f"/1.0/profiles/{lost(name)}"):
        assert work.daemon.request("DELETE", url).status == 200


@pytest.mark.parametrize("mode", ["fail", "kill"])
def test_what_was_lost_comes_back_as_a_whole_or_not_yet(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        found = known(work, name)
        assert found == [True] * 3 if how == "Success" else found in ([True] * 3, [False] * 3), found
        if not found[0]:
            succeeded(recover(work, name))
        is_back(work, name)

    strike(crew, mode, recover, prepare, check, least=LEAST)
