"""System calls that are done for a container, asked from inside; what became of them is looked at from outside."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightervisor.kernel import cgroup
from lightervisor.runtime.limiter import Wanted
from tests.harness import calls
from tests.harness.calls import string
from tests.harness.processes import eventually
from tests.harness.runtime_host import Host, interceptor, proc, spawner

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"), calls.needs_x86_64]
INTERCEPT = "security.syscalls.intercept."
OPAQUE = "trusted.overlay.opaque"
FIFO = 1


def on(*words: str, **more: str) -> dict[str, str]:
    """The keys that turn these interceptions on."""
    return {INTERCEPT + word: "true" for word in words} | {INTERCEPT + word: value for word, value in more.items()}


async def sh(host: Host, line: str, ids: tuple[int, int] = (0, 0)) -> tuple[int, str]:
    """A line of shell inside, with what it complains about."""
    return await host.run("sh", "-c", f"{line} 2>&1", ids=ids)


async def test_harmless_nodes_are_made_and_work(host: Host) -> None:
    await host.start(on("mknod"))
    assert await sh(host, "cd /tmp && mknod -m 666 null c 1 3 && echo x >null && cat null") == (0, "")
    assert await sh(host, "mknod /tmp/zero c 1 5 && head -c 2 /tmp/zero | od -An -tx1") == (0, " 00 00\n")
    found = (host.rootfs / "tmp/null").lstat()
    assert host.idmap is not None
    assert stat.S_ISCHR(found.st_mode) and found.st_uid == host.idmap.host_root
    assert stat.S_IMODE(found.st_mode) == 0o666


async def test_without_the_key_no_node_is_made(host: Host) -> None:
    await host.start()
    status, words = await sh(host, "mknod /tmp/null c 1 3")
    assert status != 0 and "not permitted" in words
    assert interceptor(host) == 0


@pytest.mark.parametrize("node", ["c 1 1", "c 10 200", "b 8 0", "b 7 0"])
async def test_no_other_node_is_made(host: Host, node: str) -> None:
    await host.start(on("mknod"))
    status, words = await sh(host, f"mknod /tmp/node {node}")
    assert status != 0 and "not permitted" in words
    assert not (host.rootfs / "tmp/node").exists()


async def test_a_node_on_a_file_system_of_the_containers_own_can_be_opened(host: Host) -> None:
    await host.start(on("mknod"))
    line = "mkdir /tmp/t && mount -t tmpfs t /tmp/t && mknod /tmp/t/zero c 1 5 && head -c 1 /tmp/t/zero | od -An -tx1"
    assert await sh(host, line) == (0, " 00\n")


async def test_a_node_is_made_with_the_callers_rights_alone(host: Host) -> None:
    secret = host.rootfs / "secret"
    secret.mkdir(mode=0o700)  # of the host's root: nobody inside may write there
    os.chown(secret, 0, 0)
    (host.rootfs / "mine").mkdir(mode=0o755)
    host_root = 0 if host.idmap is None else host.idmap.host_root
    os.chown(host.rootfs / "mine", host_root + 7, host_root + 7)
    await host.start(on("mknod"))
    status, words = await sh(host, "mknod /secret/null c 1 3")
    assert status != 0 and "denied" in words
    assert list(secret.iterdir()) == []
    assert (await sh(host, "mknod /mine/null c 1 3"))[0] == 0, "root inside may write where its users may"
    status, words = await sh(host, "mknod /mine/zero c 1 5", ids=(7, 7))
    assert status != 0 and "not permitted" in words, "a user inside has no CAP_MKNOD"
    assert await sh(host, "ln -s /proc/1/root /tmp/l; mknod /tmp/l/tmp/null c 1 3 && ls /tmp/null") == (
        0,
        "/tmp/null\n",
    )
    assert (await sh(host, "mknod /nothing/null c 1 3"))[0] != 0


async def test_a_directory_is_made_opaque_by_root_inside(host: Host) -> None:
    (host.rootfs / "foreign").mkdir(mode=0o755)
    host.write_program("opaque", calls.program(calls.SETXATTR, string("/tmp/o"), string(OPAQUE), b"y", 1, 0))
    host.write_program("foreign", calls.program(calls.SETXATTR, string("/foreign"), string(OPAQUE), b"y", 1, 0))
    host.write_program("other", calls.program(calls.SETXATTR, string("/tmp/o"), string("trusted.other"), b"y", 1, 0))
    await host.start(on("setxattr"))
    assert (await sh(host, "mkdir /tmp/o && /bin/opaque"))[0] == 0
    assert os.getxattr(host.rootfs / "tmp/o", OPAQUE) == b"y"
    assert (await host.run("/bin/other"))[0] == 1
    assert (await host.run("/bin/foreign"))[0] == 13
    assert (await host.run("/bin/opaque", ids=(7, 7)))[0] == 1
    assert os.listxattr(host.rootfs / "foreign") == []


async def test_without_the_key_nothing_is_opaque(host: Host) -> None:
    host.write_program("opaque", calls.program(calls.SETXATTR, string("/tmp"), string(OPAQUE), b"y", 1, 0))
    await host.start()
    assert (await host.run("/bin/opaque"))[0] == 1


def _allow_real_time(pid: int, name: str) -> None:
    group = cgroup.payload(pid, name).get("cpu")
    if group is None or not (group / "cpu.rt_runtime_us").exists():
        return
    for one in (*reversed([above for above in group.parents if above.is_relative_to(cgroup.ROOT / "cpu")]), group):
        if one != group.parents[len(group.relative_to(cgroup.ROOT).parts) - 2]:
            (one / "cpu.rt_runtime_us").write_text("1000")


async def test_real_time_is_had_by_root_inside(host: Host) -> None:
    host.write_program("own", calls.program(calls.SCHED_SETSCHEDULER, 0, FIFO, b"\x05\0\0\0"))
    host.write_program("first", calls.program(calls.SCHED_SETSCHEDULER, 1, FIFO, b"\x05\0\0\0"))
    host.write_program("nobody", calls.program(calls.SCHED_SETSCHEDULER, 4711, FIFO, b"\x05\0\0\0"))
    pid = await host.start(on("sched_setscheduler"))
    _allow_real_time(pid, host.name)
    assert (await host.run("/bin/own"))[0] == 0
    assert (await host.run("/bin/first"))[0] == 0, "a pid is one of its own namespace"
    assert os.sched_getscheduler(pid) == FIFO and os.sched_getparam(pid).sched_priority == 5
    assert (await host.run("/bin/nobody"))[0] == 3
    assert (await host.run("/bin/own", ids=(7, 7)))[0] == 1


async def test_sysinfo_tells_the_containers_memory_and_uptime(host: Host) -> None:
    pid = await host.start({**on("sysinfo"), "limits.memory": "64MiB"})
    # Without an lxcfs here, what it reads of the host's /proc/meminfo makes its other numbers nonsense.
    assert "Mem:          65536" in (await sh(host, "free -k"))[1]
    host.containers.apply_limits(host.name, Wanted({"limits.memory": "48MiB"}))
    assert "Mem:          49152" in (await sh(host, "free -k"))[1]
    assert "up 0 min" in (await sh(host, "uptime"))[1], f"the host is up longer: {proc(1, 'stat')}, {pid}"


async def test_what_the_caller_shows_is_not_believed(host: Host) -> None:
    host.write_program("wild", calls.program(calls.MKNOD, 1, 0o020666, 0x103))
    host.write_program("long", calls.program(calls.MKNOD, b"/" * 5000 + b"\0", 0o020666, 0x103))
    host.write_program("info", calls.program(99, 1))
    await host.start(on("mknod", "sysinfo"))
    assert (await host.run("/bin/wild"))[0] == 14
    assert (await host.run("/bin/long"))[0] == 36
    assert (await host.run("/bin/info"))[0] == 14
    assert (await sh(host, "mknod /tmp/null c 1 3"))[0] == 0, "it goes on as before"


async def test_a_caller_that_made_namespaces_of_its_own_gets_nothing(host: Host) -> None:
    await host.start(on("mknod"))
    status, words = await sh(host, "unshare -U -r mknod /tmp/null c 1 3")
    assert status != 0 and "not permitted" in words


async def test_calls_are_answered_while_no_daemon_runs(host: Host) -> None:
    await host.start(on("mknod"))
    before = interceptor(host)
    assert before
    host.containers.close()
    host.containers = host.engine()
    assert await host.containers.find(host.name) != "absent"
    assert (await sh(host, "mknod /tmp/null c 1 3"))[0] == 0
    host.containers.confinement.find()
    assert (await sh(host, "mknod /tmp/zero c 1 5"))[0] == 0
    assert interceptor(host) == before


async def test_one_that_dies_is_started_again(host: Host) -> None:
    await host.start(on("mknod"))
    before = interceptor(host)
    os.kill(before, signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: interceptor(host) not in (0, before), what="another interceptor")
    assert (await sh(host, "mknod /tmp/null c 1 3"))[0] == 0


async def test_it_ends_when_nobody_needs_it(host: Host) -> None:
    await host.start(on("mknod"))
    assert interceptor(host)
    await host.containers.kill(host.name)
    await host.containers.confinement.ended(host.name)
    await asyncio.to_thread(eventually, lambda: interceptor(host) == 0, what="the interceptor to end")
    assert not (host.folder / "security/intercept" / host.name).exists()


async def test_many_calls_at_once(host: Host) -> None:
    await host.start(on("mknod"))
    line = "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do mknod /tmp/n$i$j c 1 3 || echo no; done) & done; wait"
    assert await sh(host, line) == (0, "")
    assert len(list((host.rootfs / "tmp").iterdir())) == 40


async def test_a_program_of_a_device_cgroup_is_loaded_and_no_other(host: Host) -> None:
    returns_one = bytes.fromhex("b7000000010000009500000000000000")

    def load(kind: int) -> bytes:
        # The attributes, the program and its licence lie one behind the other in the caller's memory.
        start = calls.BASE + calls.HEADERS + 10 * 5 + 7 + len(calls.END)
        attributes = struct.pack("<IIQQ", kind, 2, start + 128, start + 144).ljust(128, b"\0")
        return calls.program(calls.BPF, 5, attributes, 128, returns_one, string("GPL"))

    host.write_program("devices", load(15))
    host.write_program("kprobe", load(2))
    await host.start(on("bpf", "bpf.devices"))
    assert (await host.run("/bin/devices"))[0] == 0
    assert (await host.run("/bin/kprobe"))[0] == 1
    assert (await host.run("/bin/devices", ids=(7, 7)))[0] == 1


async def test_a_program_is_attached_to_a_group_of_the_containers_own(host: Host) -> None:
    group, nothing = string("/mnt/sub"), bytes.fromhex("b7000000000000009500000000000000")
    first = (calls.OPEN, group, os.O_RDONLY | os.O_DIRECTORY)
    # The program and its licence lie behind the attributes, and before these the path of the first call.
    start = calls.BASE + calls.HEADERS + (10 * 2 + 7) + 2 * (10 * 3 + 7) + len(calls.END)
    start += len(group) + -len(group) % 8
    load = struct.pack("<IIQQ", 15, 2, start + 24, start + 40) + nothing + string("GPL")
    attach = struct.pack("<5I", 3, 4, 6, 2, 0).ljust(32, b"\0")
    host.write_program("attach", calls.sequence(first, (calls.BPF, 5, load, 24), (calls.BPF, 8, attach, 32)))
    await host.start(on("bpf", "bpf.devices"))
    assert await sh(host, "mount -t cgroup2 none /mnt && mkdir /mnt/sub") == (0, "")
    opened = "echo $$ >/mnt/sub/cgroup.procs && : </dev/null"
    assert await sh(host, opened) == (0, "")
    assert (await host.run("/bin/attach", ids=(7, 7)))[0] != 0
    assert await sh(host, opened) == (0, "")
    assert (await host.run("/bin/attach"))[0] == 0
    status, words = await sh(host, opened)
    assert status != 0 and "/dev/null: Operation not permitted" in words, "the program allows nothing"


async def test_without_the_key_no_program_is_loaded(host: Host) -> None:
    host.write_program("call", calls.program(calls.BPF, 5, bytes(128), 128))
    await host.start(on("bpf"))
    assert (await host.run("/bin/call"))[0] in (1, 22)
    assert interceptor(host) == 0


@contextmanager
def forks_held_up(folder: Path) -> Iterator[None]:
    """Whoever forks, of the spawner and its children, goes on a while after what it has made."""
    hold = ["-e", "trace=clone,clone3", "-e", "inject=clone,clone3:delay_exit=200000"]
    words = ["strace", "-qq", "-f", *hold, "-o", str(folder / "trace"), "-p", str(spawner())]
    with subprocess.Popen(words) as strace:
        try:
            eventually(lambda: f"TracerPid:\t{strace.pid}\n" in proc(spawner(), "status"), what="strace")
            yield
        finally:
            strace.terminate()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace holds a process up")
async def test_a_program_is_attached_in_whatever_order_the_processes_of_liblxc_run(host: Host) -> None:
    """The one that tells the program's pid comes last."""
    await host.start(on("mknod"))
    with forks_held_up(host.folder):
        assert await sh(host, "mknod /tmp/zero c 1 5 && echo made") == (0, "made\n")
