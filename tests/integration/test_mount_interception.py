"""File systems that are mounted for a container: a loop device here, FUSE programs, and what guests try with them."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.runtime.interception.process import MONITOR_WAITS_S
from tests.harness.runtime_host import Host

INTERCEPT = "security.syscalls.intercept."
FUSE = """#!/bin/sh
echo "$@" >/tmp/arguments
grep -e Seccomp: -e CapEff /proc/self/status >>/tmp/arguments
[ -e /slow ] && sleep 5
exec mount -t tmpfs fused "$2"
"""
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None,
    reason="needs root, loop devices and mkfs.ext4",
)


@pytest.fixture
def disk(host: Host) -> Iterator[Path]:
    """An ext4 on a block device, which the container has as /disk. There are device nodes on it."""
    file, tree = host.folder / "disk.img", host.folder / "content"
    tree.mkdir()
    (tree / "file").write_text("on the disk\n")
    for name, minor in (("zero", 5), ("mem", 1)):
        os.mknod(tree / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (tree / name).chmod(0o666)
    file.touch()
    os.truncate(file, 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "root_owner=0:0", "-d", tree, file], check=True)
    loop = subprocess.run(["losetup", "-f", "--show", file], check=True, capture_output=True, text=True).stdout.strip()
    node = host.rootfs / "disk"
    try:
        os.mknod(node, stat.S_IFBLK | 0o600, Path(loop).stat().st_rdev)
        root = host.idmap.host_root if host.idmap else 0
        os.chown(node, root, root)
        yield node
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


def on(**more: str) -> dict[str, str]:
    """The keys of an interception of mounts."""
    return {f"{INTERCEPT}mount": "true"} | {f"{INTERCEPT}mount.{word}": value for word, value in more.items()}


async def sh(host: Host, line: str, ids: tuple[int, int] = (0, 0)) -> tuple[int, str]:
    """A line of shell inside, with what it complains about."""
    return await host.run("sh", "-c", f"{line} 2>&1", ids=ids)


async def mounted(host: Host) -> str:
    """The line of /tmp/m in the container's mount table."""
    return (await sh(host, "grep ' /tmp/m ' /proc/mounts || true"))[1]


async def test_a_device_is_mounted_with_its_options(host: Host, disk: Path) -> None:
    await host.start(on(allowed="ext4"))
    assert (await sh(host, "mkdir /tmp/m && mount -t ext4 -o ro,noatime,noexec,errors=continue /disk /tmp/m"))[0] == 0
    line = await mounted(host)
    assert line.startswith("/disk /tmp/m ext4 ro,nodev,noexec,noatime")
    assert await sh(host, "cat /tmp/m/file") == (0, "on the disk\n")
    assert (await sh(host, "umount /tmp/m"))[0] == 0


async def test_owners_are_shifted_when_asked(host: Host, disk: Path) -> None:
    await host.start(on(allowed="ext4", shift="true"))
    assert (await sh(host, "mkdir /tmp/m && mount -t ext4 /disk /tmp/m && echo x >/tmp/m/new"))[0] == 0
    assert (await sh(host, "stat -c %u /tmp/m/new /tmp/m/file"))[1] == "0\n0\n"
    assert (await sh(host, "umount /tmp/m"))[0] == 0


async def test_without_shift_the_disk_is_the_hosts(host: Host, disk: Path) -> None:
    await host.start(on(allowed="ext4"))
    assert (await sh(host, "mkdir /tmp/m && mount -t ext4 /disk /tmp/m"))[0] == 0
    assert (await sh(host, "echo x >/tmp/m/new"))[0] != 0
    assert (await sh(host, "umount /tmp/m"))[0] == 0


async def test_only_what_is_allowed_is_mounted(host: Host, disk: Path) -> None:
    await host.start(on(allowed="xfs"))
    status, _ = await sh(host, "mkdir /tmp/m; mount -t ext4 /disk /tmp/m")
    assert status != 0 and await mounted(host) == ""
    await host.containers.confinement.change(host.name, on(allowed="xfs"), on(allowed="ext4"))
    assert (await sh(host, "mount -t ext4 /disk /tmp/m && umount /tmp/m"))[0] == 0, "it follows live"
    assert (await sh(host, "mount -t tmpfs t /tmp/m && umount /tmp/m"))[0] == 0, "the kernel's own goes on"


async def test_a_caller_gets_no_more_than_it_may_reach(host: Host, disk: Path) -> None:
    secret = host.rootfs / "secret"
    os.mknod(secret, stat.S_IFBLK | 0o600, os.lstat(disk).st_rdev)
    await host.start(on(allowed="ext4", shift="true"))
    for line in (
        "mount -t ext4 /secret /tmp/m",  # a node of the host's root
        "mount -t ext4 /bin/sh /tmp/m",
        "mount -t ext4 /nothing /tmp/m",
        "mount -t ext4 /disk /nothing",
        "mount -t ext4 -o journal_path=/secret /disk /tmp/m",
        "mount -t ext4 -o nonsense=1 /disk /tmp/m",
    ):
        status, words = await sh(host, f"mkdir -p /tmp/m; {line}")
        assert status != 0, (line, words)
    assert (await sh(host, "mount -t ext4 /disk /tmp/m", ids=(7, 7)))[0] != 0
    assert await mounted(host) == ""


async def test_device_nodes_on_what_is_mounted_stay_shut(host: Host, disk: Path) -> None:
    await host.start(on(allowed="ext4", shift="true"))
    assert (await sh(host, "mkdir /tmp/m && mount -t ext4 /disk /tmp/m"))[0] == 0
    assert "denied" in (await sh(host, "head -c 1 /tmp/m/zero"))[1]
    # Root inside takes `nodev` off a mount of its own; what it may open is limited all the same.
    assert (await sh(host, "mount -o remount,bind,dev /tmp/m; head -c 1 /tmp/m/zero | od -An -tx1"))[1].strip() == "00"
    assert "not permitted" in (await sh(host, "head -c 1 /tmp/m/mem"))[1]
    assert (await sh(host, "umount /tmp/m"))[0] == 0


async def test_a_program_of_the_container_mounts_it_instead(host: Host, disk: Path) -> None:
    host.write("bin/fusefs", FUSE, 0o755)
    await host.start(on(fuse="ext4=fusefs"))
    assert (await sh(host, "mkdir /tmp/m; cd /tmp && mount -t ext4 -o ro,foo=bar /disk m"))[0] == 0
    assert (await mounted(host)).startswith("fused /tmp/m tmpfs")
    told, seccomp, *_ = sorted((await sh(host, "cat /tmp/arguments"))[1].splitlines(), key=lambda line: line[0] != "/")
    assert told == "/disk /tmp/m -o ro,foo=bar"
    assert "CapEff" in seccomp or "Seccomp:\t2" in seccomp
    assert "Seccomp:\t2" in (await sh(host, "cat /tmp/arguments"))[1], "it is held as all of the container is"


async def test_a_program_that_hangs_holds_nothing_up(host: Host, disk: Path) -> None:
    host.write("bin/fusefs", FUSE, 0o755)
    host.write("slow", "")
    await host.start(on(fuse="ext4=fusefs"))
    assert (await sh(host, "mkdir /tmp/m"))[0] == 0
    slow = asyncio.create_task(sh(host, "mount -t ext4 /disk /tmp/m"))
    try:
        await asyncio.sleep(2 * MONITOR_WAITS_S)  # now the monitor has been let go
        async with asyncio.timeout(4):
            for _ in range(3):
                assert (await sh(host, "true"))[0] == 0
        assert not slow.done()
    finally:
        assert (await slow)[0] == 0


async def test_what_this_kernel_cannot_hand_over_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = host.folder / "actions"
    nothing.write_text("kill_process trap errno allow\n")
    monkeypatch.setattr("lightervisor.runtime.settings.intercept.ACTIONS", nothing)
    with pytest.raises(Unsupported, match="no user_notif"):
        await host.start(on(allowed="ext4"))
