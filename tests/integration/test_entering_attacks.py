"""Attacks 27 and 28: what a guest can get of the processes that enter it to run a command.

CVE-2019-5736 (runc), CVE-2016-9962 (runc), CVE-2024-21626 (runc), CVE-2016-8649 (liblxc).
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from pathlib import Path

import pytest

from tests.harness import calls
from tests.harness.calls import string
from tests.harness.processes import eventually
from tests.harness.runtime_host import Host, interceptor, spawner

GETPID = 39
OTHER_BASE = 0x10000000  # the host's program may be where such programs usually are
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")
writable = pytest.mark.skipif(
    bool(os.statvfs(sys.executable).f_flag & os.ST_RDONLY), reason="nobody could write to this host's programs anyway"
)


def loader_of(program: str) -> str:
    """The path of what loads a program, PT_INTERP. Source: elf(5)."""
    data = Path(program).read_bytes()
    start, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    for entry in range(start, start + size * count, size):
        if struct.unpack_from("<I", data, entry)[0] == 3:
            place, length = struct.unpack_from("<Q", data, entry + 8)[0], struct.unpack_from("<Q", data, entry + 32)[0]
            return data[place : place + length].rstrip(b"\0").decode()
    raise AssertionError(f"{program} has none")


@pytest.fixture
def trap(host: Host) -> Host:
    """A container whose loader, run for the host's program, keeps that open and then looks what it can do with it."""
    shell = string("/bin/sh")
    loader = loader_of(os.path.realpath(sys.executable))
    opened = (calls.OPEN, string("/proc/self/exe"), os.O_RDONLY)
    then = (calls.EXECVE, shell, [shell, string("/root/then")], 0)
    place = host.rootfs / loader.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(calls.sequence(opened, then, base=OTHER_BASE))
    place.chmod(0o755)
    host.write("root/evil", "#!/proc/self/exe\n", 0o755)
    host.write(
        "root/then",
        "exec 2>>/root/got\n/bin/busybox stat -L -c %i /proc/self/fd/3 >&2\n(: >/proc/self/fd/3)\n"
        "/bin/busybox mount -t none -o remount,rw,bind none /proc/self/fd/3 && echo remounted >&2\n"
        "/bin/busybox mount -o bind /proc/self/fd/3 /mnt/file && echo bound >&2\n",
    )
    host.write("mnt/file", "")
    return host


@writable
@calls.needs_x86_64
@pytest.mark.parametrize("privileged", [True, False])
async def test_27_the_program_that_enters_cannot_be_written_to(trap: Host, privileged: bool) -> None:
    """It is had, as the kernel gives it to its process; it lies where nobody can write, nor change that."""
    if privileged:
        trap.idmap = None
    trap.own()
    await trap.start()
    await trap.run("/root/evil")
    inode, *said = (trap.rootfs / "root/got").read_text().splitlines()
    assert int(inode) == os.stat(sys.executable).st_ino, "else the attack did not come as far"  # noqa: PTH116
    # Not "text file busy", which it is no more once everybody who runs it has ended.
    assert said and "Read-only file system" in said[0], said
    assert len(said) == 3 and not {"remounted", "bound"} & set(said), said


def mounts_of_files(pid: int) -> dict[str, bool]:
    """The files that a process has mapped, and whether the mount that they are on is read-only."""
    found: dict[str, bool] = {}
    for entry in [*Path(f"/proc/{pid}/map_files").iterdir(), Path(f"/proc/{pid}/exe")]:
        found[str(entry.readlink())] = bool(os.statvfs(entry).f_flag & os.ST_RDONLY)
    return found


def mounts_at_home(pid: int) -> bool:
    """Whether a process has our mounts and our root directory."""
    theirs, ours = (Path("/proc", who) for who in (str(pid), "self"))
    is_same_root = (theirs / "root").stat() == (ours / "root").stat()
    return is_same_root and (theirs / "ns/mnt").readlink() == (ours / "ns/mnt").readlink()


@writable
async def test_27_nothing_that_is_mapped_can_be_written_to(host: Host) -> None:
    """The root of a privileged container may open what a process that is visible to it has mapped."""
    await host.spawner.request("version", [])  # it has come as far as to answer
    pid = spawner()
    found = mounts_of_files(pid)
    assert any("liblxc" in name for name in found) and any("python" in name for name in found), found
    assert [name for name, is_read_only in found.items() if not is_read_only] == []
    assert mounts_at_home(pid)


@writable
async def test_27_nothing_that_the_interceptor_has_mapped_can_be_written_to(host: Host) -> None:
    await host.start({"security.syscalls.intercept.mknod": "true"})
    await asyncio.to_thread(eventually, lambda: mounts_at_home(interceptor(host)), what="it to have loaded everything")
    found = mounts_of_files(interceptor(host))
    assert any("liblxc" in name for name in found), found
    assert [name for name, is_read_only in found.items() if not is_read_only] == []


@calls.needs_x86_64
async def test_27_files_of_the_guest_are_not_read_to_enter_it(host: Host) -> None:
    """Neither its users, nor its shell, nor what its loader would preload."""
    for name in ("passwd", "group", "ld.so.preload", "nsswitch.conf"):
        (host.rootfs / "etc" / name).unlink(missing_ok=True)
        os.mkfifo(host.rootfs / "etc" / name, 0o666)
    host.write_program("own", calls.program(GETPID))
    host.own()
    await host.start()
    host.write_program("sh", b"no program")
    assert (await host.run("/bin/own", ids=(1000, 1000)))[0] == 0
