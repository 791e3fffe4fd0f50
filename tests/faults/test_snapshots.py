"""Every effect of taking, restoring, renaming and deleting a snapshot: what if it fails, or is the daemon's last?

Afterwards the snapshot is whole or gone, its instance is whole, and the pool has no layer that nothing is made of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.strikes import Part, strike, succeeded
from tests.faults.work import STOP, Outcome, Work
from tests.harness.processes import eventually

LEAST = 5


def snapshots(name: str, *more: str) -> str:
    return "/".join([f"/1.0/instances/{name}/snapshots", *more])


def write(work: Work, name: str, text: str) -> None:
    headers = {"X-LXD-type": "file", "Content-Type": "application/octet-stream"}
    answer = work.daemon.request("POST", f"/1.0/instances/{name}/files?path=/note", text.encode(), headers=headers)
    assert answer.status == 200, answer.body


def note(work: Work, name: str) -> str:
    text = work.daemon.request("GET", f"/1.0/instances/{name}/files?path=/note").body.decode()
    if work.says(name) == "Stopped":  # the answer comes before the root that was read is taken away
        eventually(lambda: f"/containers/{name}/rootfs " not in mounts(), what="the root to be unmounted")
    return text


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def configure(work: Work, name: str, text: str) -> None:
    answer = work.daemon.request("PATCH", f"/1.0/instances/{name}", {"config": {"user.note": text}})
    assert answer.status == 200, answer.body


def configured(work: Work, name: str) -> str:
    return work.daemon.request("GET", f"/1.0/instances/{name}").metadata["config"].get("user.note", "")


# The parts


def take(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", snapshots(name), {"name": "s1"}))


def restore(work: Work, name: str) -> list[Outcome]:
    return work.do(("PUT", f"/1.0/instances/{name}", {"restore": "s1"}))


def rename(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", snapshots(name, "s1"), {"name": "s2"}))


def delete(work: Work, name: str) -> list[Outcome]:
    return work.do(("DELETE", snapshots(name, "s1"), None))


# What they begin with


def stopped(work: Work, name: str) -> list[Outcome]:
    source = {"type": "image", "fingerprint": work.image}
    done = work.do(("POST", "/1.0/instances", {"name": name, "source": source, "config": {"user.note": "one"}}))
    write(work, name, "one")
    return succeeded(done)


def running(work: Work, name: str) -> list[Outcome]:
    done = succeeded(work.launch(name, has_network=False))
    write(work, name, "one")
    configure(work, name, "one")
    return done


def with_snapshot(prepare: Part) -> Part:
    def both(work: Work, name: str) -> list[Outcome]:
        prepare(work, name)
        done = succeeded(take(work, name))
        write(work, name, "two")
        configure(work, name, "two")
        return done

    return both


# What must be true afterwards


def layers(work: Work) -> tuple[set[str], set[str]]:
    """The layers that are there, and those that volumes and snapshots are made of."""
    work.rest()
    pool = work.daemon.state / "storage-pools/default"
    named: set[str] = set()
    for chain in [*pool.glob("containers/*/volume.json"), *pool.glob("containers-snapshots/*/*/volume.json")]:
        said: dict[str, Any] = json.loads(chain.read_bytes())
        named |= {lower.split("/")[1] for lower in [said["top"], *said["lowers"]] if lower.startswith("layers/")}
    return {layer.name for layer in (pool / "layers").iterdir()}, named


def check_pool(work: Work) -> None:
    """No layer is missing, and none is there that nothing is made of, but one that could not be discarded."""
    present, named = layers(work)
    if present - named and "stays until the next start" in work.daemon.log.read_text():
        work.daemon.restart()
        present, named = layers(work)
    assert present == named


def whole(work: Work, name: str, snapshot: str, status: str) -> bool:
    """Whether there is this snapshot, which must be whole then: restoring brings back what was, and it can go."""
    listed = snapshots(name, snapshot) in work.daemon.request("GET", snapshots(name)).metadata
    directory = work.daemon.state / f"storage-pools/default/containers-snapshots/{name}/{snapshot}"
    assert directory.is_dir() == listed
    if listed:
        succeeded(work.do(("PUT", f"/1.0/instances/{name}", {"restore": snapshot})))
        assert (note(work, name), configured(work, name), work.says(name)) == ("one", "one", status)
        succeeded(work.do(("DELETE", snapshots(name, snapshot), None)))
    return listed


def end(work: Work, name: str) -> None:
    """The instance is whole; it is taken away."""
    if work.says(name) == "Running":
        succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", STOP)))
    check_pool(work)
    work.make_whole(name)
    check_pool(work)


MODES = pytest.mark.parametrize("mode", ["fail", "kill"])


@MODES
@pytest.mark.parametrize(("prepare", "status"), [(stopped, "Stopped"), (running, "Running")])
def test_a_snapshot_is_taken_whole_or_not_at_all(crew: list[Work], mode: str, prepare: Part, status: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        assert (work.says(name), note(work, name)) == (status, "one")
        if not whole(work, name, "s1", status):
            assert how != "Success"
            succeeded(take(work, name))  # the same request again succeeds
            assert whole(work, name, "s1", status)
        end(work, name)

    strike(crew, mode, take, prepare, check, least=LEAST)


@MODES
@pytest.mark.parametrize(("prepare", "status"), [(stopped, "Stopped"), (running, "Running")])
def test_an_instance_is_restored_whole_or_not_at_all(crew: list[Work], mode: str, prepare: Part, status: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        if work.says(name) != status:  # its start failed, which was told
            assert how == "Failure"
            assert status == "Running"
            succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", {"action": "start"})))
        found = (note(work, name), configured(work, name))
        assert found == ("one", "one") or (found == ("two", "two") and how != "Success")
        assert whole(work, name, "s1", status)
        end(work, name)

    strike(crew, mode, restore, with_snapshot(prepare), check, least=LEAST)


@MODES
def test_a_snapshot_is_renamed_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        found = [snapshot for snapshot in ("s1", "s2") if whole(work, name, snapshot, "Stopped")]
        assert found == ["s2"] or (found == ["s1"] and how != "Success")
        end(work, name)

    strike(crew, mode, rename, with_snapshot(stopped), check, least=LEAST)


@MODES
def test_a_snapshot_is_deleted_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        assert (note(work, name), configured(work, name)) == ("two", "two")
        assert not whole(work, name, "s1", "Stopped") or how != "Success"
        end(work, name)

    strike(crew, mode, delete, with_snapshot(stopped), check, least=LEAST)


@MODES
def test_an_instance_goes_with_its_snapshots_or_stays_with_them(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        if work.says(name):
            assert how != "Success"
            assert whole(work, name, "s1", "Stopped")
            end(work, name)
        else:
            assert work.status(name) == "gone"
            check_pool(work)

    def remove(work: Work, name: str) -> list[Outcome]:
        return work.do(("DELETE", f"/1.0/instances/{name}", None))

    strike(crew, mode, remove, with_snapshot(stopped), check, least=LEAST)


@MODES
def test_snapshots_follow_their_instance_to_its_new_name_or_stay(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        new = f"new-{name}"
        found = [one for one in (name, new) if work.says(one)]
        assert found == [new] or (found == [name] and how != "Success")
        eventually(lambda: not work.operations().get("running"), what="the rename to end")
        assert whole(work, found[0], "s1", "Stopped")
        end(work, found[0])

    def move(work: Work, name: str) -> list[Outcome]:
        return work.do(("POST", f"/1.0/instances/{name}", {"name": f"new-{name}"}))

    strike(crew, mode, move, with_snapshot(stopped), check, least=LEAST)
