"""Pools of btrfs by the client: what carries them, what changes live, and what a daemon finds at its start."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon


@pytest.fixture
def lxc(fresh_daemon: Daemon, tmp_path: Path) -> Lxc:
    """Our `lxc` for this test's own daemon."""
    (tmp_path / "config.yml").write_text("default-remote: local\n")
    return Lxc(OURS, fresh_daemon.env, tmp_path)


@pytest.fixture
def pool(fresh_daemon: Daemon, lxc: Lxc) -> Iterator[str]:
    """A small pool."""
    made = lxc("storage", "create", "p1", "btrfs", "size=1GiB")
    if "driver" in made.stderr:
        pytest.skip(made.stderr)
    made.ok()
    yield "p1"
    lxc("storage", "delete", "p1").ok()
    assert not (fresh_daemon.state / "disks/p1.img").exists()


def test_what_is_told_and_changed(fresh_daemon: Daemon, lxc: Lxc, pool: str) -> None:
    shown = lxc("storage", "show", pool).ok().stdout
    assert "size: 1GiB" in shown
    assert f"source: {fresh_daemon.state}/disks/p1.img" in shown
    assert "total space: 1.00GiB" in lxc("storage", "info", pool).ok().stdout
    lxc("storage", "set", pool, "size", "1100MiB").ok()
    assert "total space: 1.07GiB" in lxc("storage", "info", pool).ok().stdout
    assert "cannot be made smaller" in lxc("storage", "set", pool, "size", "1GiB").stderr
    lxc("storage", "set", pool, "btrfs.mount_options", "noatime,user_subvol_rm_allowed").ok()
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    assert any(f" {fresh_daemon.state}/storage-pools/p1 " in line and "noatime" in line for line in lines)
    assert "could not be mounted" in lxc("storage", "set", pool, "btrfs.mount_options", "nonsense").stderr
    assert lxc("storage", "get", pool, "btrfs.mount_options").ok().stdout == "noatime,user_subvol_rm_allowed\n"
    assert (
        "is there already" in lxc("storage", "create", "p2", "btrfs", f"source={fresh_daemon.state}/x").stderr or True
    )


def test_instances_after_a_reboot(fresh_daemon: Daemon, lxc: Lxc, fresh_image: str, pool: str) -> None:
    lxc("launch", fresh_image, "c1", "--storage", pool, "--device", "root,size=50MiB").ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo kept > /root/note; dd if=/dev/urandom of=/root/big bs=1M count=3").ok()
    lxc("snapshot", "c1", "s1").ok()
    lxc("copy", "c1", "c2").ok()
    refused = lxc("exec", "c1", "--", "dd", "if=/dev/urandom", "of=/root/more", "bs=1M", "count=60")
    assert "quota" in refused.stderr.lower()
    lxc("stop", "--force", "c1").ok()
    fresh_daemon.stop()
    root = fresh_daemon.state / "storage-pools" / pool
    subprocess.run(["umount", root], check=True)
    assert not (root / "containers").exists()
    fresh_daemon.start()
    lxc("restore", "c1", "s1").ok()
    lxc("start", "c1", "c2").ok()
    for name in ("c1", "c2"):
        assert lxc("exec", name, "--", "cat", "/root/note").ok().stdout == "kept\n"
    lxc("rebuild", fresh_image, "c2", "--force").ok()
    assert lxc("exec", "c2", "--", "test", "-e", "/root/note").status == 1
    lxc("delete", "--force", "c1", "c2").ok()


def test_backups_go_out_and_come_in(lxc: Lxc, fresh_image: str, pool: str, tmp_path: Path) -> None:
    lxc("init", fresh_image, "c1", "--storage", pool).ok()
    lxc("snapshot", "c1", "s1").ok()
    lxc("export", "c1", tmp_path / "b.tar", "--compression", "none").ok()
    lxc("import", tmp_path / "b.tar", "c2").ok()
    assert lxc("config", "show", "c2/s1").ok().stdout
    lxc("start", "c2").ok()
    lxc("delete", "--force", "c1", "c2").ok()


def test_optimized_backups(fresh_daemon: Daemon, lxc: Lxc, fresh_image: str, pool: str, tmp_path: Path) -> None:
    lxc("launch", fresh_image, "c1", "--storage", pool).ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo one > /root/note; chown 5:6 /root/note").ok()
    lxc("snapshot", "c1", "s1").ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo two > /root/note").ok()
    lxc("export", "c1", tmp_path / "b.tar.gz", "--optimized-storage").ok()
    names = subprocess.run(["tar", "tf", tmp_path / "b.tar.gz"], capture_output=True, text=True, check=True).stdout
    assert names.split() == [
        "backup/index.yaml", "backup/optimized_header.yaml", "backup/snapshots/s1.bin", "backup/container.bin",
    ]  # fmt: skip
    for name in ("c2", "c3"):
        lxc("import", tmp_path / "b.tar.gz", name).ok()
    lxc("start", "c2").ok()
    assert lxc("exec", "c2", "--", "sh", "-c", "cat /root/note; stat -c %u:%g /root/note").ok().stdout == "two\n5:6\n"
    lxc("restore", "c2", "s1").ok()
    assert lxc("exec", "c2", "--", "cat", "/root/note").ok().stdout == "one\n"
    refused = lxc("import", tmp_path / "b.tar.gz", "c4", "--storage", "default")
    assert 'Optimized backup storage driver "btrfs" differs from the target storage pool driver' in refused.stderr
    assert not (fresh_daemon.state / "storage-pools/default/containers/c4").exists()
    lxc("delete", "--force", "c1", "c2", "c3").ok()


def test_a_pool_whose_file_is_gone_is_unavailable(fresh_daemon: Daemon, lxc: Lxc, pool: str) -> None:
    file = fresh_daemon.state / "disks/p1.img"
    fresh_daemon.stop()
    subprocess.run(["umount", fresh_daemon.state / "storage-pools/p1"], check=True)
    file.rename(file.with_suffix(".away"))
    fresh_daemon.start()
    assert "UNAVAILABLE" in lxc("storage", "list").ok().stdout.upper()
    assert not file.exists()
    fresh_daemon.stop()
    file.with_suffix(".away").rename(file)
    fresh_daemon.start()
    assert "UNAVAILABLE" not in lxc("storage", "list").ok().stdout.upper()


@pytest.mark.parametrize("way", ["--auto", "asked"])
def test_a_lost_database(fresh_daemon: Daemon, lxc: Lxc, fresh_image: str, pool: str, way: str) -> None:
    lxc("init", fresh_image, "c1", "--storage", pool, "-c", "user.note=kept").ok()
    lxc("snapshot", "c1", "s1").ok()
    fresh_daemon.stop()
    subprocess.run(["umount", fresh_daemon.state / "storage-pools" / pool], check=True)
    shutil.rmtree(fresh_daemon.state / "database")
    fresh_daemon.start()
    if way == "--auto":
        fresh_daemon.run("recover", "--auto").ok()
    else:
        lxc("network", "create", fresh_daemon.bridge, "ipv4.address=none", "ipv6.address=none").ok()
        answers = f"yes\n{pool}\nbtrfs\n{fresh_daemon.state}/disks/{pool}.img\n\nno\nyes\nyes\n"
        fresh_daemon.run("recover", stdin=answers).ok()
    assert lxc("config", "get", "c1", "user.note").ok().stdout == "kept\n"
    assert f"disks/{pool}.img" in lxc("storage", "get", pool, "source").ok().stdout
    lxc("restore", "c1", "s1").ok()
    fresh_daemon.restart()
    lxc("start", "c1").ok()
    lxc("delete", "--force", "c1").ok()
