"""Pools of zfs by the client: instances, snapshots restored in any order, copies that outlive their source, sizes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import zfs
from lightervisor.storage.drivers.zfs import Zfs
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon

POOL = "lvzpool"
LENT = "lvzlent"


@pytest.fixture
def lxc(fresh_daemon: Daemon, tmp_path: Path) -> Lxc:
    """Our `lxc` for this test's own daemon, where there is ZFS."""
    try:
        Zfs.probe(tmp_path)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    (tmp_path / "config.yml").write_text("default-remote: local\n")
    return Lxc(OURS, fresh_daemon.env, tmp_path)


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[str]:
    """Somebody's zpool."""
    file = tmp_path / "host.img"
    with file.open("xb") as opened:
        opened.truncate(512 << 20)
    subprocess.run(["zpool", "create", "-m", "none", "-o", "cachefile=none", LENT, file], check=True)
    yield LENT
    zfs.destroy_pool(LENT)


@pytest.fixture(params=["file", "dataset", "zpool"])
def pool(request: pytest.FixtureRequest, fresh_daemon: Daemon, lxc: Lxc, lent: str) -> Iterator[str]:
    """A pool, wherever it is."""
    options = {"file": "size=512MiB", "dataset": f"source={lent}/some/where", "zpool": f"source={lent}"}[request.param]
    lxc("storage", "create", POOL, "zfs", options).ok()
    yield POOL
    lxc("storage", "delete", POOL).ok()
    assert not (fresh_daemon.state / f"disks/{POOL}.img").exists()
    assert not zfs.exists(POOL)
    assert zfs.exists(lent) == (request.param != "zpool")
    assert not zfs.exists(f"{lent}/some/where")


@pytest.fixture
def small(lxc: Lxc) -> Iterator[str]:
    """A pool in a file."""
    lxc("storage", "create", POOL, "zfs", "size=512MiB").ok()
    yield POOL
    lxc("storage", "delete", POOL).ok()


def test_the_life_of_an_instance(lxc: Lxc, fresh_daemon: Daemon, fresh_image: str, pool: str) -> None:
    lxc("launch", fresh_image, "c1", "--storage", pool).ok()
    for text in ("one", "two"):
        lxc("exec", "c1", "--", "sh", "-c", f"echo {text} >/root/file; chown 5:6 /root/file").ok()
        lxc("snapshot", "c1", text).ok()
    lxc("copy", "c1", "c2").ok()
    lxc("restore", "c1", "one").ok()
    assert lxc("exec", "c1", "--", "cat", "/root/file").ok().stdout == "one\n"
    lxc("restore", "c1", "two").ok()
    script = "cat /root/file; stat -c %u:%g /root/file"
    assert lxc("exec", "c1", "--", "sh", "-c", script).ok().stdout == "two\n5:6\n"
    lxc("delete", "--force", "c1").ok()
    lxc("restore", "c2", "one").ok()
    lxc("rename", "c2", "c3").ok()
    fresh_daemon.restart()
    lxc("start", "c3").ok()
    assert lxc("exec", "c3", "--", "cat", "/root/file").ok().stdout == "one\n"
    lxc("snapshot", "c3", "three").ok()
    lxc("rename", "c3/three", "c3/four").ok()
    lxc("delete", "c3/one").ok()
    assert [line.split(",")[0] for line in lxc("info", "c3").ok().stdout.splitlines() if "four" in line]
    lxc("delete", "--force", "c3").ok()


def test_a_size_is_kept(lxc: Lxc, fresh_image: str, small: str) -> None:
    lxc("launch", fresh_image, "c1", "--storage", small, "--device", "root,size=50MiB").ok()
    write = ("exec", "c1", "--", "dd", "if=/dev/urandom", "of=/root/more", "bs=1M", "count=80", "conv=fsync")
    assert "quota" in lxc(*write).stderr.lower()
    lxc("restart", "--force", "c1").ok()
    lxc("config", "device", "set", "c1", "root", "size=150MiB").ok()
    lxc(*write).ok()
    assert lxc("config", "device", "set", "c1", "root", "size=20MiB").status != 0
    lxc("exec", "c1", "--", "rm", "/root/more").ok()
    lxc("delete", "--force", "c1").ok()
    lxc("storage", "set", small, "size", "700MiB").ok()
    assert int(zfs.get(small, "available")["available"]) > 550 << 20


def test_a_custom_volume(lxc: Lxc, fresh_image: str, small: str) -> None:
    lxc("storage", "volume", "create", small, "data", "size=30MiB").ok()
    lxc("launch", fresh_image, "c1", "--storage", small).ok()
    lxc("storage", "volume", "attach", small, "data", "c1", "/data").ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo kept >/data/file").ok()
    lxc("storage", "volume", "snapshot", small, "data", "first").ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo changed >/data/file").ok()
    assert lxc("exec", "c1", "--", "dd", "if=/dev/urandom", "of=/data/more", "bs=1M", "count=60", "conv=fsync").status
    lxc("storage", "volume", "copy", f"{small}/data/first", f"{small}/other").ok()
    lxc("delete", "--force", "c1").ok()
    lxc("storage", "volume", "restore", small, "data", "first").ok()
    lxc("launch", fresh_image, "c2", "--storage", small).ok()
    for name in ("data", "other"):
        lxc("storage", "volume", "attach", small, name, "c2", f"/{name}").ok()
        assert lxc("exec", "c2", "--", "cat", f"/{name}/file").ok().stdout == "kept\n"
    lxc("delete", "--force", "c2").ok()
    for name in ("data", "other"):
        lxc("storage", "volume", "delete", small, name).ok()


def test_a_pool_is_recovered(lxc: Lxc, fresh_daemon: Daemon, fresh_image: str, small: str) -> None:
    lxc("launch", fresh_image, "c1", "--storage", small).ok()
    lxc("exec", "c1", "--", "sh", "-c", "echo kept >/root/file; sync").ok()
    lxc("snapshot", "c1", "first").ok()
    lxc("stop", "c1", "--force").ok()
    place = fresh_daemon.state / "storage-pools" / small / "containers/c1"
    fresh_daemon.stop()
    subprocess.run(["umount", "-R", "-l", place], check=True)
    zfs.export_pool(small)  # as a restart of the host does
    fresh_daemon.start()
    lxc("start", "c1").ok()
    lxc("stop", "c1", "--force").ok()
    fresh_daemon.stop()
    subprocess.run(["umount", "-R", "-l", place], check=True)
    zfs.export_pool(small)
    shutil.rmtree(fresh_daemon.state / "database")
    fresh_daemon.start()
    fresh_daemon.run("recover", "--auto").ok()
    assert lxc("storage", "get", small, "zfs.pool_name").ok().stdout == f"{small}\n"
    lxc("start", "c1").ok()
    assert lxc("exec", "c1", "--", "cat", "/root/file").ok().stdout == "kept\n"
    lxc("restore", "c1", "first").ok()
    lxc("delete", "--force", "c1").ok()
