"""Disks of the device mapper (LVM's, encrypted ones): pools on them, their limits, and showing them to containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually, run
from tests.vm.test_host import group_of, pid_of

MIB = 1 << 20
SECTORS = 1200 * MIB // 512


class Mapped:
    """A loop device of our own, and disks that are mapped to parts of it."""

    def __init__(self, loop: str) -> None:
        self.loop = loop
        self.made: set[str] = set()

    def make(self, name: str, start: int, count: int) -> Path:
        run(["dmsetup", "create", name, "--table", f"0 {count} linear {self.loop} {start}"]).ok()
        self.made.add(name)
        return Path("/dev/mapper", name)

    def turn_into(self, name: str, table: str) -> None:
        """Give it another table while it is in use."""
        for words in (["suspend", "--nolockfs"], ["load", "--table", table], ["resume"]):
            run(["dmsetup", words[0], name, *words[1:]]).ok()

    def remove(self, name: str) -> None:
        run(["dmsetup", "remove", "--retry", name]).ok()
        self.made.discard(name)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    image = tmp_path_factory.mktemp("mapped") / "image"
    with image.open("wb") as file:
        file.truncate(SECTORS * 512)
    made = Mapped(run(["losetup", "--find", "--show", image]).ok().stdout.strip())
    yield made
    for name in list(made.made):
        made.remove(name)
    run(["losetup", "--detach", made.loop]).ok()


@pytest.fixture(params=["dir", "overlay"])
def pool(request: pytest.FixtureRequest, mapped: Mapped, lxc: Lxc, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A pool of each driver on a mapped disk, by its name, and that disk."""
    disk, place = mapped.make("lv-pool", 0, SECTORS // 2), tmp_path / "mounted"
    place.mkdir()
    run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", disk]).ok()  # it would end for good when the disk fails
    run(["mount", disk, place]).ok()
    (place / "pool").mkdir()
    lxc("storage", "create", "mapped", request.param, f"source={place / 'pool'}").ok()
    yield "mapped", disk
    lxc("storage", "delete", "mapped").ok()
    run(["umount", place]).ok()
    mapped.remove("lv-pool")


@pytest.fixture
def box(lxc: Lxc, name: str) -> str:
    """A running container."""
    lxc("launch", "build:busybox", name).ok()
    return name


def test_a_pool_and_the_limits_of_its_disk(daemon: Daemon, lxc: Lxc, pool: tuple[str, Path], name: str) -> None:
    kind, disk = pool
    number = disk.resolve().stat().st_rdev
    lxc("launch", "build:busybox", name, "-s", kind, "-d", "root,limits.write=5MB").ok()
    limits = (group_of(pid_of(daemon, name)) / "io.max").read_text().split()
    assert limits == [f"{number >> 8}:{number & 0xFF}", "rbps=max", "wbps=5000000", "riops=max", "wiops=max"]
    lxc("exec", name, "--", "sh", "-c", "echo kept >/root/file; sync").ok()
    lxc("snapshot", name, "s1").ok()
    lxc("exec", name, "--", "rm", "/root/file").ok()
    lxc("restore", name, "s1").ok()
    assert lxc("exec", name, "--", "cat", "/root/file").ok().stdout == "kept\n"
    lxc("delete", "--force", name).ok()


def test_a_disk_that_fails_is_told_and_what_is_on_others_goes_on(
    lxc: Lxc, pool: tuple[str, Path], mapped: Mapped, box: str, name: str
) -> None:
    """Every request to the disk fails from now on, as when a cable is pulled."""
    kind, disk = pool
    count = SECTORS // 2
    mapped.turn_into(disk.name, f"0 {count} error")
    try:
        refused = lxc("init", "build:busybox", f"{name}2", "-s", kind)
        assert refused.status != 0, refused.stdout
        assert "Input/output error" in refused.stderr or "Read-only file system" in refused.stderr, refused.stderr
        assert f"{name}2" not in lxc("list", "-c", "n", "-f", "csv").ok().stdout.split()
        assert lxc("exec", box, "--", "echo", "here").ok().stdout == "here\n"
    finally:
        mapped.turn_into(disk.name, f"0 {count} linear {mapped.loop} 0")


def test_one_comes_and_goes_while_a_container_runs(lxc: Lxc, box: str, mapped: Mapped) -> None:
    device = ["source=/dev/mapper/lv-late", "path=/dev/late", "required=false"]
    lxc("config", "device", "add", box, "late", "unix-block", *device).ok()
    assert lxc("exec", box, "--", "test", "-e", "/dev/late").status == 1
    for start in (SECTORS // 2, SECTORS // 2 + 2048):
        disk = mapped.make("lv-late", start, 2048)
        eventually(lambda: lxc("exec", box, "--", "test", "-b", "/dev/late").status == 0, what="the disk inside")
        lxc("exec", box, "--", "sh", "-c", f"echo from {start} | dd of=/dev/late conv=fsync").ok()
        assert disk.read_bytes()[:20].startswith(f"from {start}\n".encode())
        mapped.remove("lv-late")
        eventually(lambda: lxc("exec", box, "--", "test", "-e", "/dev/late").status == 1, what="its end")


def test_one_with_a_file_system_is_mounted(lxc: Lxc, box: str, mapped: Mapped) -> None:
    disk = mapped.make("lv-data", SECTORS // 2, SECTORS // 4)
    run(["mkfs.ext4", "-q", "-F", disk]).ok()
    lxc("config", "device", "add", box, "data", "disk", f"source={disk}", "path=/mnt/data").ok()
    lxc("exec", box, "--", "grep", "-q", " /mnt/data ext4 ", "/proc/mounts").ok()
    lxc("restart", "--force", box).ok()
    lxc("exec", box, "--", "grep", "-q", " /mnt/data ext4 ", "/proc/mounts").ok()
    lxc("config", "device", "remove", box, "data").ok()
    mapped.remove("lv-data")
