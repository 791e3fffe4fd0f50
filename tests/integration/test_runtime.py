"""The runtime engine with real containers: no daemon, no pools, one busybox tree of each test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import cgroup, pidfd
from lightervisor.kernel.idmap import IdMap, host_ranges
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec, HostFacts

INIT = """#!/bin/sh
trap 'exit 0' PWR TERM
echo "hello from init" >/dev/console
[ -e /reboot-once ] && { rm /reboot-once; /bin/busybox reboot -f; }
while :; do sleep 3600 & wait $!; done
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")


class Host:
    """A spawner, an engine and one container's parts, in a directory of their own."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder, self.name = folder, f"rt-{secrets.token_hex(4)}"
        self.idmap: IdMap | None = host_ranges()
        self.exits: list[tuple[str, str]] = []
        self.told = asyncio.Event()
        self.spawner = Spawner.launch()
        self.spawner.connect()
        self.containers = self.engine()
        self.rootfs = folder / "rootfs"
        self._make_rootfs()

    def engine(self) -> Containers:
        facts = HostFacts(has_apparmor=False, lxcfs=None, cpu_count=os.cpu_count() or 1, memory_bytes=1 << 30)
        return Containers(self.spawner, self.folder / "containers", facts, self._on_exit)

    async def _on_exit(self, name: str, target: str) -> None:
        self.exits.append((name, target))
        self.told.set()

    async def next_exit(self) -> str:
        async with asyncio.timeout(10):
            await self.told.wait()
        self.told.clear()
        return self.exits[-1][1]

    def _make_rootfs(self) -> None:
        for name in ("bin", "dev", "etc", "mnt", "proc", "root", "sbin", "sys", "tmp", "var"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        for applet in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split():
            link = self.rootfs / "bin" / applet
            if not link.exists():
                link.symlink_to("/bin/busybox")
        self.write("sbin/init", INIT, 0o755)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.own()

    def own(self) -> None:
        root = self.idmap.host_root if self.idmap else 0
        subprocess.run(["chown", "-hR", f"{root}:{root}", self.rootfs], check=True)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        (self.rootfs / path).write_text(text)
        (self.rootfs / path).chmod(mode)

    def spec(self, config: Mapping[str, str] | None = None) -> ContainerSpec:
        return ContainerSpec(
            name=self.name,
            hostname=self.name,
            config=config or {},
            rootfs=self.rootfs,
            log_dir=self.folder / "logs",
            security_dir=self.folder / "security",
            idmap=self.idmap,
        )

    async def start(self, config: Mapping[str, str] | None = None) -> int:
        await self.containers.start(self.spec(config))
        pid = self.containers.init_pid(self.name)
        assert pid is not None
        return pid

    async def run(self, *argv: str, cwd: str = "/", ids: tuple[int, int] = (0, 0)) -> tuple[int, str]:
        read, write = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            env = {"PATH": "/bin:/sbin", "WORD": "of mouth"}
            program = await self.containers.attach(self.name, argv, fds=(null, write, write), env=env, cwd=cwd, ids=ids)
        finally:
            os.close(write)
            os.close(null)
        try:
            async with asyncio.timeout(10):
                status = await program.wait()
            return status, os.read(read, 65536).decode()
        finally:
            os.close(read)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    # Not pytest's own directory: the container's root must be able to enter it.
    host = Host(Path(tempfile.mkdtemp(prefix="lv-rt-", dir="/var/tmp")))
    try:
        yield host
    finally:
        await host.containers.kill(host.name)
        host.containers.close()
        host.spawner.close()
        shutil.rmtree(host.folder)
        left = [str(path) for path in cgroup.ROOT.glob(f"*/lxc.*.{host.name}*")]
        assert not left, left


async def test_starts_runs_programs_and_stops(host: Host) -> None:
    pid = await host.start()
    assert host.containers.state(host.name) == "Running"
    assert _proc(pid, "uid_map").split()[:2] == ["0", str(host_ranges().host_root)]
    assert await host.run("cat", "/proc/1/comm") == (0, "init\n")
    assert await host.run("hostname") == (0, f"{host.name}\n")
    assert await host.run("sh", "-c", 'echo "$WORD $container"; pwd; id -u', cwd="/etc", ids=(7, 8)) == (
        0,
        "of mouth lxc\n/etc\n7\n",
    )
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"
    assert host.exits == [(host.name, "stop")]
    assert not _is_alive(pid)


async def test_exit_statuses_are_those_of_a_shell(host: Host) -> None:
    await host.start()
    assert (await host.run("sh", "-c", "exit 7"))[0] == 7
    assert (await host.run("sh", "-c", "kill -9 $$"))[0] == 137
    assert (await host.run("/no/such/program"))[0] == 127
    assert (await host.run("/etc/passwd"))[0] == 126


async def test_a_program_inside_gets_no_descriptor_of_ours(host: Host) -> None:
    await host.start()
    status, listing = await host.run("sh", "-c", "ls /proc/self/fd; ls /proc/1/fd | tail -n 1")
    assert status == 0
    # The fourth is the directory that ls reads.
    assert listing.split() == ["0", "1", "2", "3", "10"] or int(listing.split()[-1]) <= 10
    assert listing.split()[:4] == ["0", "1", "2", "3"]


async def test_descriptors_of_the_monitor_lead_nowhere_near_the_daemon(host: Host) -> None:
    pid = await host.start()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    sockets = {target for target in _targets("self") if target.startswith(("socket:", "pipe:"))}
    assert not sockets & (_targets(monitor) | _targets(pid))


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}", name).read_text()


def _targets(pid: int | str) -> set[str]:
    found: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(entry.readlink()))
    return found


def _is_alive(pid: int) -> bool:
    # A zombie waits only for the machine's own init.
    return pidfd.status(pid).get("State", "Z")[0] != "Z"


async def test_a_clean_stop_lets_init_end(host: Host) -> None:
    await host.start()
    await host.containers.shut_down(host.name, 5)
    assert host.exits == [(host.name, "stop")]


async def test_an_init_that_will_not_stop_is_told(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\ntrap '' PWR\nwhile :; do sleep 3600; done\n", 0o755)
    await host.start()
    with pytest.raises(TimeoutError):
        await host.containers.shut_down(host.name, 0.2)
    assert host.containers.state(host.name) == "Running"


async def test_the_signal_of_a_clean_stop_can_be_chosen(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\ntrap 'exit 0' USR1\nwhile :; do sleep 3600 & wait $!; done\n", 0o755)
    await host.start({"raw.lxc": "lxc.signal.halt = SIGUSR1"})
    await host.run("sleep", "0.1")  # until init has set its trap
    await host.containers.shut_down(host.name, 5)


async def test_a_guest_that_reboots_is_followed(host: Host) -> None:
    first = await host.start()
    await host.run("/bin/busybox", "reboot", "-f")
    assert await host.next_exit() == "reboot"
    second = host.containers.init_pid(host.name)
    assert host.containers.state(host.name) == "Running" and second not in (None, first)
    assert await host.run("true") == (0, "")
    await host.containers.kill(host.name)
    assert host.exits == [(host.name, "reboot"), (host.name, "stop")]


async def test_a_stop_wins_over_a_reboot(host: Host) -> None:
    await host.start()
    null = os.open(os.devnull, os.O_RDWR)
    program = await host.containers.attach(host.name, ["/bin/busybox", "reboot", "-f"], fds=(null, null, null))
    os.close(null)
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"
    await program.wait()


async def test_a_frozen_container_can_be_thawed_and_killed(host: Host) -> None:
    await host.start()
    await host.containers.freeze(host.name)
    assert host.containers.state(host.name) == "Frozen"
    with pytest.raises(Invalid, match="frozen"):
        await host.run("true")
    await host.containers.unfreeze(host.name)
    assert await host.run("true") == (0, "")
    await host.containers.freeze(host.name)
    await host.containers.kill(host.name)
    assert host.containers.state(host.name) == "Stopped"


async def test_a_restarted_daemon_finds_what_runs(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    host.containers = host.engine()
    assert host.containers.state(host.name) == "Stopped"
    assert await host.containers.find(host.name)
    assert host.containers.init_pid(host.name) == pid
    assert await host.run("true") == (0, "")
    os.kill(pid, signal.SIGKILL)
    assert await host.next_exit() == "stop"


async def test_containers_outlive_the_spawner(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    host.spawner.close()
    await asyncio.sleep(0.1)
    assert _is_alive(pid)
    host.spawner = Spawner.launch()
    host.spawner.connect()
    host.containers = host.engine()
    assert await host.containers.find(host.name)


async def test_a_container_whose_monitor_is_killed_ends(host: Host) -> None:
    pid = await host.start()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    os.kill(monitor, signal.SIGKILL)
    assert await host.next_exit() == "stop"
    assert not _is_alive(pid)
    assert await host.start()


async def test_remains_of_a_monitor_killed_while_no_daemon_ran_are_removed(host: Host) -> None:
    pid = await host.start()
    host.containers.close()
    monitor = pidfd.parent(pid)
    assert monitor is not None
    os.kill(monitor, signal.SIGKILL)
    host.containers = host.engine()
    assert not await host.containers.find(host.name)
    assert not _is_alive(pid)


async def test_a_terminal_is_the_containers_own(host: Host) -> None:
    await host.start()
    root = host_ranges().host_root
    master, slave = await host.containers.open_pty(host.name, (root, root), (132, 40))
    command = "tty; stty size; echo ready >/dev/tty; exit 3"
    program = await host.containers.attach(host.name, ["sh", "-c", command], fds=(slave, slave, slave))
    os.close(slave)
    assert await program.wait() == 3
    output = os.read(master, 65536).decode().replace("\r", "")
    os.close(master)
    assert re.fullmatch(r"/dev/pts/\d+\n40 132\nready\n", output)


async def test_the_console_can_be_attached_and_its_log_read_and_cleared(host: Host) -> None:
    await host.start()
    await host.run("sh", "-c", "echo hello from a program >/dev/console")
    assert b"hello from a program" in await host.containers.console_log(host.name)
    await host.containers.console_log(host.name, clear=True)
    assert await host.containers.console_log(host.name) == b""
    terminal, master = await host.containers.console(host.name)
    with pytest.raises(HostError, match="console"):
        await host.containers.console(host.name)
    await host.run("sh", "-c", "echo knock >/dev/console")
    assert b"knock" in os.read(master, 1000)
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize(
    ("init", "mode", "reason"),
    [
        (None, 0, "the image has no init: /sbin/init does not exist"),
        ("#!/bin/sh\n", 0o644, "the image's init /sbin/init is not executable"),
        ("\x7fELF nonsense", 0o755, "the image's init /sbin/init is for another architecture"),
    ],
)
async def test_why_it_did_not_start_is_said(host: Host, init: str | None, mode: int, reason: str) -> None:
    (host.rootfs / "sbin/init").unlink()
    if init is not None:
        host.write("sbin/init", init, mode)
        host.own()
    with pytest.raises(HostError, match=reason):
        await host.start()
    assert host.containers.state(host.name) == "Stopped"


async def test_a_bad_raw_lxc_is_named(host: Host) -> None:
    with pytest.raises(HostError, match=r"liblxc does not accept raw\.lxc"):
        await host.start({"raw.lxc": "lxc.aa_profile = unconfined"})


async def test_an_init_that_ends_at_once_is_a_stop(host: Host) -> None:
    host.write("sbin/init", "#!/bin/sh\nexit 0\n", 0o755)
    try:
        await host.start()
    except HostError as error:
        assert "ended at once" in error.sentence()
    else:
        assert await host.next_exit() == "stop"
    assert host.containers.state(host.name) == "Stopped"


async def test_a_cancelled_start_leaves_nothing(host: Host) -> None:
    starting = asyncio.create_task(host.containers.start(host.spec()))
    await asyncio.sleep(0.005)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert host.containers.state(host.name) == "Stopped"


def _limit(host: Host, file: str) -> str:
    pid = host.containers.init_pid(host.name)
    assert pid is not None
    return (cgroup.payload(pid, host.name)[file.partition(".")[0]] / file).read_text().strip()


async def test_limits_hold_from_the_start_and_change_live(host: Host) -> None:
    if not cgroup.offered().has("memory.limit_in_bytes", version=1):
        pytest.skip("this host has no memory controller on cgroup v1")
    config = {"limits.memory": "64MiB", "limits.processes": "50", "limits.cpu.allowance": "20ms/100ms"}
    await host.start(config)
    assert _limit(host, "memory.limit_in_bytes") == str(64 << 20)
    assert _limit(host, "memory.soft_limit_in_bytes") == str((64 << 20) * 9 // 10 // 4096 * 4096)
    assert (_limit(host, "pids.max"), _limit(host, "cpu.cfs_quota_us")) == ("50", "20000")
    host.containers.apply_limits(host.name, {"limits.memory": "32MiB", "limits.cpu": "0-0"})
    assert _limit(host, "memory.limit_in_bytes") == str(32 << 20)
    assert (_limit(host, "pids.max"), _limit(host, "cpu.cfs_quota_us")) == ("max", "-1")
    assert _limit(host, "cpuset.cpus") == "0"
    with pytest.raises(HostError, match="refused"):
        host.containers.apply_limits(host.name, {"limits.memory": "1B", "limits.cpu": "0-0"})
    assert _limit(host, "memory.limit_in_bytes") == str(32 << 20)


async def test_usage_counts_what_the_container_does(host: Host) -> None:
    await host.start()
    before = host.containers.usage(host.name)
    await host.run("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    after = host.containers.usage(host.name)
    assert after.cpu_ns > before.cpu_ns
    assert after.processes >= 2 and after.memory > 0


@pytest.mark.parametrize(
    "config",
    [
        {"limits.disk.priority": "3"},
        {"limits.hugepages.2MB": "4MiB"},
        {"limits.cpu": "1", "limits.cpu.priority": "3"},
        {"limits.memory": "50%", "limits.memory.enforce": "soft", "limits.memory.swap": "false"},
        {"limits.kernel.nofile": "100:200", "linux.sysctl.net.ipv4.ip_forward": "1", "environment.A": "b c"},
        {"security.nesting": "true"},
        {"security.syscalls.deny": "mkdirat errno 1\nkeyctl", "security.syscalls.deny_compat": "true"},
        {"security.syscalls.deny_default": "false"},
    ],
    ids=lambda config: next(iter(config)),
)
async def test_every_setting_starts(host: Host, config: dict[str, str]) -> None:
    await host.start(config)
    assert (await host.run("true"))[0] == 0


async def test_settings_of_the_kernel_are_seen_inside(host: Host) -> None:
    config = {"limits.kernel.nofile": "100:200", "linux.sysctl.net.ipv4.ip_forward": "1", "environment.A": "b c"}
    pid = await host.start(config)
    assert await host.run("cat", "/proc/sys/net/ipv4/ip_forward") == (0, "1\n")
    assert "A=b c" in _proc(pid, "environ")
    status, words = await host.run("sh", "-c", "grep 'open files' /proc/1/limits")
    assert status == 0 and words.split()[3:5] == ["100", "200"]


async def test_a_refused_system_call_looks_missing(host: Host) -> None:
    await host.start({"security.syscalls.deny": "mkdirat errno 1\nmkdir errno 1"})
    status, words = await host.run("mkdir", "/tmp/x")
    assert status == 1 and "not permitted" in words


async def test_a_privileged_container_cannot_open_the_hosts_disks(host: Host) -> None:
    host.idmap = None
    host.own()
    pid = await host.start({"security.privileged": "true"})
    assert _proc(pid, "uid_map").split()[:2] == ["0", "0"]
    major, minor = _some_disk()
    status, words = await host.run("sh", "-c", f"mknod /tmp/disk b {major} {minor} && head -c 1 /tmp/disk")
    assert status != 0 and "not permitted" in words
    assert (await host.run("sh", "-c", "echo x >/dev/null && head -c 1 /dev/zero >/dev/null"))[0] == 0


def _some_disk() -> tuple[str, str]:
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, *_ = line.split()
        return major, minor
    pytest.skip("this host has no block device")
