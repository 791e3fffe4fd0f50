"""Every effect of what a pool of btrfs does: what if it fails, or is the daemon's last?

Afterwards there is no subvolume that is nobody's, all snapshots are closed, and what guests have nested came along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import btrfs
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.faults import strikes
from tests.faults import test_snapshots as snapshotting
from tests.faults.conftest import SIZE, at_work
from tests.faults.strikes import Part, succeeded
from tests.faults.test_copies import copied
from tests.faults.test_snapshots import MODES, configured, note, take, write
from tests.faults.work import Outcome, Work
from tests.harness import images
from tests.harness.processes import eventually

NESTED = "rootfs/srv/nested"
LIMIT = {"root": {"type": "disk", "path": "/", "pool": "default", "size": "200MiB"}}
STREAM = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Work]]:
    """Daemons whose pools are of btrfs."""
    try:
        Btrfs.probe(Path("/tmp"))
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    folder = tmp_path_factory.mktemp("faults-btrfs")
    image = images.unified(folder / "image.tar.gz").read_bytes()
    yield from at_work(image, [folder / str(n) for n in range(SIZE)], driver="btrfs")


def pool(work: Work) -> Path:
    return work.daemon.state / "storage-pools/default"


def with_nested(devices: dict[str, dict[str, str]] | None = None) -> Part:
    """A stopped instance in which a subvolume is nested, with a note in both."""

    def prepare(work: Work, name: str) -> list[Outcome]:
        body = {
            "name": name,
            "source": {"type": "image", "fingerprint": work.image},
            "config": {"user.note": "one"},
            "devices": devices or {},
        }
        done = succeeded(work.do(("POST", "/1.0/instances", body)))
        nested = pool(work) / "containers" / name / NESTED
        nested.parent.mkdir(exist_ok=True)
        btrfs.create(nested, 0o755)
        (nested / "note").write_text("nested")
        write(work, name, "one")
        return done

    return prepare


def with_snapshot(prepare: Part) -> Part:
    """As `snapshotting.with_snapshot`, with what is nested changed too."""

    def both(work: Work, name: str) -> list[Outcome]:
        done = snapshotting.with_snapshot(prepare)(work, name)
        note = pool(work) / "containers" / name / NESTED / "note"
        note.write_text("changed") if note.exists() else None
        return done

    return both


def nested_note(work: Work, name: str) -> str:
    return (pool(work) / "containers" / name / NESTED / "note").read_text()


# What must be true afterwards


def check_pool(work: Work) -> None:
    """Every subvolume is an image, a volume, a snapshot, or nested in one; nobody can write to snapshots."""
    work.rest()
    root = pool(work)
    own = [*root.glob("images/*"), *root.glob("containers/*"), *root.glob("containers-snapshots/*/*")]
    with btrfs.opened(root) as opened:
        paths = [root / one.path.decode() for one in btrfs.nested(opened)]
    assert {path for path in paths if NESTED not in str(path)} == set(own)
    assert all(path.parents[2] in own for path in paths if NESTED in str(path))
    for snapshot in root.glob("containers-snapshots/*/*"):
        with btrfs.opened(snapshot) as opened:
            assert btrfs.is_read_only(opened), f"{snapshot} is open"


def end(work: Work, name: str) -> None:
    """The instance is whole; it is taken away."""
    check_pool(work)
    work.make_whole(name)
    check_pool(work)


def whole(work: Work, name: str) -> bool:
    """Whether the snapshot s1 is there, which must be whole then."""
    found = snapshotting.whole(work, name, "s1", "Stopped")
    assert not found or nested_note(work, name) == "nested"
    return found


def strike(crew: list[Work], mode: str, part: Part, prepare: Part, check: Callable[[Work, str], None]) -> None:
    least = snapshotting.LEAST
    strikes.strike(crew, mode, part, prepare, lambda work, name, _how: check(work, name), least=least, sample=2)


@MODES
def test_a_snapshot_is_taken_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        assert (note(work, name), nested_note(work, name)) == ("one", "nested")
        check_pool(work)
        if not whole(work, name):
            succeeded(take(work, name))
            assert whole(work, name)
        end(work, name)

    strike(crew, mode, take, with_nested(), check)


@MODES
def test_an_instance_is_restored_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        said = (note(work, name), configured(work, name), nested_note(work, name))
        assert said in (("one", "one", "nested"), ("two", "two", "changed"))
        disk = work.daemon.request("GET", f"/1.0/instances/{name}/state").metadata["disk"]
        assert disk is None or disk["root"]["usage"] < 200 << 20
        assert whole(work, name)
        end(work, name)

    strike(crew, mode, snapshotting.restore, with_snapshot(with_nested(LIMIT)), check)


@MODES
def test_a_snapshot_is_renamed_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        check_pool(work)
        found = [snapshotting.whole(work, name, snapshot, "Stopped") for snapshot in ("s1", "s2")]
        assert found.count(True) == 1
        end(work, name)

    strike(crew, mode, snapshotting.rename, with_snapshot(with_nested()), check)


@MODES
def test_a_snapshot_is_deleted_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        assert (note(work, name), nested_note(work, name)) == ("two", "changed")
        whole(work, name)
        end(work, name)

    strike(crew, mode, snapshotting.delete, with_snapshot(with_nested()), check)


@MODES
def test_an_instance_goes_with_its_snapshots_or_stays_with_them(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        if work.says(name):
            assert whole(work, name)
            end(work, name)
        else:
            assert work.status(name) == "gone"
            check_pool(work)

    def remove(work: Work, name: str) -> list[Outcome]:
        return work.do(("DELETE", f"/1.0/instances/{name}", None))

    strike(crew, mode, remove, with_snapshot(with_nested()), check)


@MODES
def test_a_copy_is_whole_or_absent(crew: list[Work], mode: str) -> None:
    def copy(work: Work, name: str) -> list[Outcome]:
        body = {"name": copied(name), "source": {"type": "copy", "source": name}}
        return work.do(("POST", "/1.0/instances", body))

    def check(work: Work, name: str) -> None:
        check_pool(work)
        if not work.says(copied(name)):
            assert work.status(copied(name)) == "gone"
            succeeded(copy(work, name))
        for one in (copied(name), name):
            assert (note(work, one), nested_note(work, one)) == ("two", "changed")
            assert whole(work, one)
            end(work, one)

    strike(crew, mode, copy, with_snapshot(with_nested()), check)


# Backups as streams


def export(work: Work, name: str) -> list[Outcome]:
    body = {"name": "b1", "compression_algorithm": "none", "optimized_storage": True}
    return work.do(("POST", f"/1.0/instances/{name}/backups", body))


def restore(work: Work, name: str, packed: bytes) -> list[Outcome]:
    answer = work.daemon.request("POST", "/1.0/instances", packed, headers={**STREAM, "X-LXD-name": name})
    if answer.status != 202:
        return [{"status": "Failure", "err": answer.error}]
    return [work.daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata]


def packed_of(work: Work, name: str) -> bytes:
    return work.daemon.request("GET", f"/1.0/instances/{name}/backups/b1/export").body


def comes_back(work: Work, name: str) -> None:
    """What was imported is whole, and goes."""
    check_pool(work)
    assert (note(work, name), nested_note(work, name)) == ("two", "changed")
    assert whole(work, name)
    end(work, name)


@MODES
def test_a_backup_is_made_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str) -> None:
        check_pool(work)
        if work.daemon.request("GET", f"/1.0/instances/{name}/backups/b1").status == 404:
            succeeded(export(work, name))
        copy = work.new_name()
        succeeded(restore(work, copy, packed_of(work, name)))
        comes_back(work, copy)
        comes_back(work, name)

    strike(crew, mode, export, with_snapshot(with_nested()), check)


@MODES
def test_an_instance_comes_back_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    source = crew[0].new_name()
    with_snapshot(with_nested())(crew[0], source)
    succeeded(export(crew[0], source))
    packed = packed_of(crew[0], source)
    end(crew[0], source)

    def part(work: Work, name: str) -> list[Outcome]:
        return restore(work, name, packed)

    def check(work: Work, name: str) -> None:
        eventually(lambda: "running" not in work.operations(), what="the import to end")
        check_pool(work)
        if not work.says(name):
            assert work.status(name) == "gone"
            succeeded(part(work, name))
        comes_back(work, name)

    strike(crew, mode, part, lambda _work, _name: [], check)
