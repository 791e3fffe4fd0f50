"""Snapshots of custom volumes: taken, listed, changed, restored and deleted, with each client; also while in use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon

VOLUME = ("storage", "volume")


@pytest.fixture(params=["overlay", "dir", "btrfs"])
def pool(request: pytest.FixtureRequest, lxc: Lxc, name: str) -> Iterator[str]:
    """A pool of each driver, with a volume v."""
    chosen = f"p-{name}"
    lxc("storage", "create", chosen, request.param, *(["size=512MiB"] if request.param == "btrfs" else [])).ok()
    lxc(*VOLUME, "create", chosen, "v", "user.a=b").ok()
    yield chosen
    for line in lxc(*VOLUME, "list", chosen, "-f", "csv", "-c", "tn").ok().stdout.splitlines():
        type, _, volume = line.partition(",")
        if type == "custom":
            lxc(*VOLUME, "delete", chosen, volume).ok()
    lxc("storage", "delete", chosen).ok()


def names(lxc: Lxc, pool: str) -> list[str]:
    listed = lxc(*VOLUME, "list", pool, "-f", "csv", "-c", "tn").ok().stdout.splitlines()
    return [line.partition(",")[2] for line in listed if line.startswith("custom")]


def test_the_life_of_a_snapshot(either: Lxc, lxc: Lxc, daemon: Daemon, pool: str) -> None:
    root = daemon.state / f"storage-pools/{pool}/custom/default_v/rootfs"
    (root / "file").write_text("one")
    either(*VOLUME, "snapshot", pool, "v").ok()
    either(*VOLUME, "snapshot", pool, "v", "s2").ok()
    either(*VOLUME, "snapshot", pool, "v", "s2").failed('Snapshot "s2" already in use')
    either(*VOLUME, "snapshot", pool, "v", "s2", "--reuse").ok()
    either(*VOLUME, "snapshot", pool, "v", "a b").failed("Storage name cannot contain white space")
    either(*VOLUME, "snapshot", pool, "v", "a/b").failed('Storage name cannot contain "/"')
    either(*VOLUME, "snapshot", pool, "nosuch").failed("Storage pool volume not found")
    assert names(either, pool) == ["v", "v/s2", "v/snap0"]
    assert "custom (snapshot),v/snap0" in either(*VOLUME, "list", pool, "-f", "csv", "-c", "tn").stdout
    shown = either(*VOLUME, "show", pool, "v/s2").ok().stdout
    assert shown.startswith('description: ""\nexpires_at: 0001-01-01T00:00:00Z\nname: s2\nconfig:\n  user.a: b\n')
    assert either(*VOLUME, "get", pool, "v/s2", "user.a").ok().stdout == "b\n"
    either(*VOLUME, "set", pool, "v/s2", "user.a=c").failed("Snapshots are read-only")
    either(*VOLUME, "edit", pool, "v/s2", stdin="description: before\nexpires_at: 2031-01-01T00:00:00Z\n").ok()
    info = either(*VOLUME, "info", pool, "v").ok().stdout
    assert "\nSnapshots:\n" in info and "| s2    | before      | 2031/01/01 00:00 UTC |" in info
    done = either(*VOLUME, "rename", pool, "v/s2", "v/s3").ok()
    assert done.stdout == 'Renamed storage volume from "v/s2" to "s3"\n'
    either(*VOLUME, "rename", pool, "v/s3", "v/snap0").failed('Snapshot "snap0" already in use')
    either(*VOLUME, "rename", pool, "v/s3", "w/s4").failed("parent volume must be the same as source")
    (root / "file").write_text("two")
    (root / "more").write_text("two")
    either(*VOLUME, "restore", pool, "v", "nosuch").failed("Snapshot not found")
    either(*VOLUME, "restore", pool, "v", "s3").ok()
    assert [(one.name, one.read_text()) for one in root.iterdir()] == [("file", "one")]
    lxc(*VOLUME, "rename", pool, "v", "w").ok()  # its snapshots come along
    assert names(either, pool) == ["w", "w/s3", "w/snap0"]
    lxc(*VOLUME, "rename", pool, "w", "v").ok()
    assert either(*VOLUME, "delete", pool, "v/s3").ok().stdout == "Storage volume v/s3 deleted\n"
    either(*VOLUME, "delete", pool, "v/s3").failed("Storage pool volume not found")
    description = (root.parent / "backup.yaml").read_text()
    assert "name: snap0" in description and "s3" not in description and "user.a: b" in description
    lxc(*VOLUME, "delete", pool, "v").ok()  # with the last one
    assert not list((daemon.state / f"storage-pools/{pool}/custom-snapshots").iterdir())


def test_names_and_ends_by_the_configuration(either: Lxc, lxc: Lxc, daemon: Daemon, pool: str) -> None:
    lxc(*VOLUME, "set", pool, "v", "snapshots.pattern=daily-{{ creation_date|date:'2006' }}-%d").ok()
    lxc(*VOLUME, "set", pool, "v", "snapshots.expiry=3d").ok()
    either(*VOLUME, "snapshot", pool, "v").ok()
    either(*VOLUME, "snapshot", pool, "v", "--no-expiry").ok()
    url = f"/1.0/storage-pools/{pool}/volumes/custom/v/snapshots"
    found = daemon.request("GET", f"{url}?recursion=1").metadata
    assert [one["name"].rpartition("-")[2] for one in found] == ["0", "1"]
    assert [one["name"].startswith("v/daily-20") for one in found] == [True, True]
    assert [one["expires_at"].startswith("0001") for one in found] == [False, True]
    assert daemon.request("GET", url).metadata == [f"{url}/{one['name'].partition('/')[2]}" for one in found]
    assert daemon.request("POST", url, {"name": "x", "expires_at": "2030-01-01T00:00:00"}).status == 400


def test_a_volume_in_use_is_kept_as_it_is_at_one_moment(
    either: Lxc, lxc: Lxc, daemon: Daemon, pool: str, running: str
) -> None:
    root = daemon.state / f"storage-pools/{pool}/custom/default_v/rootfs"
    lxc(*VOLUME, "attach", pool, "v", running, "d", "/data").ok()
    try:
        script = "cd /data; i=0; while :; do i=$((i+1)); echo $i >a; echo $i >b; done"
        lxc("exec", running, "--", "sh", "-c", f"({script}) >/dev/null 2>&1 & echo $! >/run/writer").ok()
        for number in range(3):
            either(*VOLUME, "snapshot", pool, "v", f"s{number}").ok()
            assert daemon.request("GET", f"/1.0/instances/{running}").metadata["status"] == "Running"
        for number in range(3):
            kept = daemon.state / f"storage-pools/{pool}/custom-snapshots/default_v/s{number}/rootfs"
            one, other = (int((kept / name).read_text() or 0) for name in "ab")
            assert 0 <= one - other <= 1 or 0 in (one, other)
        either(*VOLUME, "restore", pool, "v", "s0").failed("Cannot restore custom volume used by running instances")
        lxc("pause", running).ok()  # who is paused stays so, and still has it
        either(*VOLUME, "snapshot", pool, "v", "paused").ok()
        assert daemon.request("GET", f"/1.0/instances/{running}").metadata["status"] == "Frozen"
        lxc("start", running).ok()
        lxc("exec", running, "--", "sh", "-c", "kill $(cat /run/writer); echo new >/data/a").ok()
        assert (root / "a").read_text() == "new\n"
        assert (root.parents[2] / "custom-snapshots/default_v/paused/rootfs/a").read_text() != "new\n"
    finally:
        lxc(*VOLUME, "detach", pool, "v", running).ok()
    either(*VOLUME, "restore", pool, "v", "paused").ok()
    assert (root / "a").read_text() != "new\n"


def test_pylxd_takes_and_restores_a_snapshot(daemon: Daemon, pool: str) -> None:
    volume = Pylxd(daemon.state).client.storage_pools.get(pool).volumes.get("custom", "v")
    made = volume.snapshots.create(name="s1")
    assert volume.snapshots.all() == ["s1"]
    volume.restore_from(made.name)
    made.rename("s2", wait=True)
    volume.snapshots.get("s2").delete(wait=True)
    assert volume.snapshots.all() == []
