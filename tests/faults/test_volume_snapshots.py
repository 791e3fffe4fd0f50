"""Every effect of taking, renaming, restoring and deleting a snapshot of a volume: what if it fails, or is the last?

Afterwards the snapshot is there whole or not at all, for clients, on disk and in the description in the pool; the
volume is what it was or what it was to be; and the same request succeeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.strikes import Part, Strikes, dying, told
from tests.faults.work import Outcome, Work

VOLUMES = "/1.0/storage-pools/default/volumes/custom"
OLD, NEW = "one", "another"
LEAST = 2
MODES = pytest.mark.parametrize("mode", ["fail", "kill"])


def sync(work: Work, method: str, path: str, body: Any = None) -> list[Outcome]:
    answer = work.daemon.request(method, path, body)
    return [{"status": "Success" if answer.status in (200, 201) else "Failure", "err": answer.error}]


def root(work: Work, name: str) -> Path:
    return work.daemon.state / f"storage-pools/default/custom/default_{name}/rootfs"


def make(work: Work, name: str) -> list[Outcome]:
    done = sync(work, "POST", VOLUMES, {"name": name, "config": {"user.a": "b"}})
    (root(work, name) / "file").write_text("old")
    return done


def take(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"{VOLUMES}/{name}/snapshots", {"name": OLD}))


def make_and_take(work: Work, name: str) -> list[Outcome]:
    make(work, name)
    done = take(work, name)
    (root(work, name) / "file").write_text("new")
    return done


def rename(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"{VOLUMES}/{name}/snapshots/{OLD}", {"name": NEW}))


def delete(work: Work, name: str) -> list[Outcome]:
    return work.do(("DELETE", f"{VOLUMES}/{name}/snapshots/{OLD}", None))


def restore(work: Work, name: str) -> list[Outcome]:
    return sync(work, "PUT", f"{VOLUMES}/{name}", {"restore": OLD})


def present(work: Work, name: str) -> list[str]:
    """The volume's snapshots for clients, which must be those on disk."""
    listed = [url.rpartition("/")[2] for url in work.daemon.request("GET", f"{VOLUMES}/{name}/snapshots").metadata]
    place = work.daemon.state / f"storage-pools/default/custom-snapshots/default_{name}"
    assert sorted(one.name for one in place.iterdir()) == sorted(listed) if place.exists() else not listed
    for one in listed:
        assert (place / one / "rootfs/file").read_text() == "old"
    assert (root(work, name) / "file").read_text() in ("old", "new")
    return listed


def strike(crew: list[Work], mode: str, part: Part, prepare: Part, outcomes: tuple[list[str], ...]) -> None:
    """Strike every effect; `outcomes` are the snapshots that may be there afterwards."""

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        failed = mode == "fail" and bool(done) and told(done)
        found = present(work, name)
        assert found in outcomes, found
        if failed and part not in (restore, delete):  # what is gone stays gone
            assert found == outcomes[0], "what failed is undone"
        for one in found:
            assert work.do(("DELETE", f"{VOLUMES}/{name}/snapshots/{one}", None))[0]["status"] == "Success"
        assert take(work, name)[0]["status"] == "Success"
        description = root(work, name).parent / "backup.yaml"
        assert "user.a: b" in description.read_text() and f"name: {OLD}" in description.read_text()
        assert sync(work, "DELETE", f"{VOLUMES}/{name}")[0]["status"] == "Success"
        assert not root(work, name).parent.exists()
        work.rest()

    def taken_again(work: Work, name: str, done: list[Outcome]) -> None:
        # What a restore left says "old" or "new"; a snapshot that is taken then is of either.
        (root(work, name) / "file").write_text("old")
        check(work, name, done)

    name = crew[0].new_name()
    prepare(crew[0], name)
    effects = crew[0].faults.of(name, lambda: part(crew[0], name))
    taken_again(crew[0], name, [])
    Strikes(mode, dying(part) if mode == "kill" else part, taken_again, prepare).strike(crew, effects, least=LEAST)


@MODES
def test_a_snapshot_is_taken_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, take, make, ([], [OLD]))


@MODES
def test_a_snapshot_is_renamed_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, rename, make_and_take, ([OLD], [NEW]))


@MODES
def test_a_snapshot_is_deleted_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, delete, make_and_take, ([OLD], []))


@MODES
def test_a_volume_is_restored_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, restore, make_and_take, ([OLD],))
