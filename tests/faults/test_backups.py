"""Every effect of making and of importing a backup: what if it fails, is the daemon's last, or is cancelled?"""

from __future__ import annotations

import pytest

from tests.faults.strikes import Part, strike, succeeded
from tests.faults.test_snapshots import write
from tests.faults.work import START, STOP, Outcome, Work
from tests.harness.processes import eventually

LEAST = 8
STREAM = {"Content-Type": "application/octet-stream"}


def backups(name: str, *more: str) -> str:
    return "/".join([f"/1.0/instances/{name}/backups", *more])


def stopped(work: Work, name: str) -> list[Outcome]:
    """An instance that has run, with a snapshot that shares layers with it."""
    done = work.launch(name) + work.do(("PUT", f"/1.0/instances/{name}/state", STOP))
    return done + succeeded(work.do(("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1"})))


def running(work: Work, name: str) -> list[Outcome]:
    """The same, running; it has written something since, or there would be nothing to copy."""
    done = stopped(work, name) + succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", START)))
    write(work, name, "something")
    return done


def export(work: Work, name: str) -> list[Outcome]:
    """Have the server make and keep a backup."""
    return work.do(("POST", backups(name), {"name": "b1", "compression_algorithm": "none"}))


def remove(work: Work, name: str) -> list[Outcome]:
    """Delete it again."""
    return work.do(("DELETE", backups(name, "b1"), None))


def exported(prepare: Part) -> Part:
    return lambda work, name: prepare(work, name) + succeeded(export(work, name))


def restore(work: Work, name: str, packed: bytes) -> list[Outcome]:
    """Import a backup under a name."""
    answer = work.daemon.request("POST", "/1.0/instances", packed, headers={**STREAM, "X-LXD-name": name})
    if answer.status != 202:
        return [{"status": "Failure", "err": answer.error}]
    url = answer.envelope["operation"]
    return [work.daemon.request("GET", f"{url}/wait").metadata]


def packed_of(work: Work) -> bytes:
    """A backup of an instance with a snapshot, which is gone."""
    name = work.new_name()
    stopped(work, name)
    succeeded(export(work, name))
    packed = work.daemon.request("GET", backups(name, "b1", "export")).body
    work.make_whole(name)
    return packed


def check_folders(work: Work) -> None:
    """Files and rows agree, nothing half made lies anywhere, no snapshot but those of users."""
    state = work.daemon.state
    if list((state / "backups/.incoming").iterdir()):
        work.daemon.restart()  # what could not be removed goes with the next start
    assert list((state / "backups/.incoming").iterdir()) == []
    listed = work.daemon.request("GET", "/1.0/instances?recursion=2").metadata
    count = sum(len(one["backups"] or []) for one in listed)
    assert len(list((state / "backups/instances").iterdir())) == count
    assert not list((state / "storage-pools/default/containers-snapshots").glob("*/moment *"))


def whole(work: Work, name: str) -> bool:
    """Whether the backup is there, which must be whole then: an instance can be made of it, and it can go."""
    if work.daemon.request("GET", backups(name, "b1")).status == 404:
        return False
    packed = work.daemon.request("GET", backups(name, "b1", "export")).body
    copy = work.new_name()
    succeeded(restore(work, copy, packed))
    work.make_whole(copy)
    succeeded(remove(work, name))
    return True


MODES = pytest.mark.parametrize("mode", ["fail", "kill"])


@pytest.mark.parametrize(
    ("mode", "prepare", "status"),
    [
        (mode, prepare, status)
        for mode in ("fail", "kill")
        for prepare, status in ((stopped, "Stopped"), (running, "Running"))
    ],
)
def test_a_backup_is_made_whole_or_not_at_all(crew: list[Work], mode: str, prepare: Part, status: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        assert work.says(name) == status
        check_folders(work)
        if work.daemon.request("GET", backups(name, "b1")).status == 404:
            assert how != "Success"
            succeeded(export(work, name))
        if status == "Running":
            succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", STOP)))
        assert whole(work, name)
        check_folders(work)
        work.make_whole(name)

    strike(crew, mode, export, prepare, check, least=LEAST)


@MODES
def test_a_backup_is_deleted_or_stays_whole(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        if how == "Failure" and work.daemon.request("GET", backups(name, "b1")).status == 200:
            work.daemon.restart()  # one whose file is gone goes with the next start
        check_folders(work)
        assert not whole(work, name) or how != "Success"
        work.make_whole(name)

    strike(crew, mode, remove, exported(stopped), check, least=1)


@MODES
def test_an_instance_comes_back_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    packed = packed_of(crew[0])

    def part(work: Work, name: str) -> list[Outcome]:
        return restore(work, name, packed)

    def check(work: Work, name: str, how: str) -> None:
        eventually(lambda: "running" not in work.operations(), what="the import to end")
        check_folders(work)
        if not work.says(name):
            assert how != "Success"
            assert work.status(name) == "gone"
            succeeded(part(work, name))
        succeeded(work.do(("PUT", f"/1.0/instances/{name}", {"restore": "s1"})))
        succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", START)))
        work.make_whole(name)

    strike(crew, mode, part, lambda _work, _name: [], check, least=LEAST)
