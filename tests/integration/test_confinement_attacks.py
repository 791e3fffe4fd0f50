"""Attacks 16, 17, 27, 28 and 29 on what holds a container in: values, raw keys, what a command inside can reach."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lightervisor.kernel.idmap import IdMap, IdRange
from tests.harness import calls
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.runtime_host import Host, proc
from tests.harness.terminal import Terminal

INJECTED = "lxc.hook.pre-start = /bin/touch /tmp/lightervisor-attacked"
EVIL = "x\n" + INJECTED
ADD_KEY, KEYCTL, CLEAR, USER_KEYRING, MOST_KEYS = 248, 250, 7, -4, 250
CAP_NET_RAW, CAP_SYS_CHROOT = 13, 18
DROPPED = {"sys_module": 16, "sys_rawio": 17, "sys_time": 25, "mac_override": 32, "mac_admin": 33}
ATTACKED = Path("/tmp/lightervisor-attacked")


def _set(daemon: Daemon, name: str, key: str, value: str) -> str:
    """Set one key by the API, where no shell and no client changes it; the error's text."""
    answer = daemon.request("PATCH", f"/1.0/instances/{name}", {"config": {key: value}})
    return "" if answer.status == 200 else answer.error


@pytest.mark.parametrize(
    "key",
    [
        "environment.A",
        "linux.sysctl.net.ipv4.ip_forward",
        "limits.kernel.nofile",
        "limits.cpu",
        "nvidia.driver.capabilities",
    ],
)
@pytest.mark.parametrize("value", [EVIL, "x\r" + INJECTED, "x\x00y", "x\x1b[31m", "x\x7f"])
def test_16_no_value_reaches_a_line_of_its_own(daemon: Daemon, running: str, key: str, value: str) -> None:
    assert _set(daemon, running, key, value)
    assert INJECTED not in (daemon.state / "logs" / running / "lxc.conf").read_text()


def test_16_text_of_users_reaches_no_file(daemon: Daemon, lxc: Lxc, running: str) -> None:
    assert _set(daemon, running, "user.note", EVIL) == ""
    lxc("restart", "--force", running).ok()
    assert INJECTED not in (daemon.state / "logs" / running / "lxc.conf").read_text()
    assert not ATTACKED.exists()


@pytest.mark.parametrize("value", ["lxc.uts.name = x\rlxc.log.file = /tmp/x", "lxc.uts.name = a\x0blxc.log.file = /x"])
def test_16_raw_lines_hold_no_other_line_ends(daemon: Daemon, running: str, value: str) -> None:
    assert "control characters" in _set(daemon, running, "raw.lxc", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("lxc.log.file = /tmp/x", "Setting lxc.log.file is not allowed"),
        ("  LXC.LOG.FILE=/tmp/x", "Setting lxc.log.file is not allowed"),
        ("lxc.ephemeral = 1", "Setting lxc.ephemeral is not allowed"),
        ("lxc.net.0.type = phys", "Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"),
        ("lxc.prlimit.nofile = 1", 'Process limits should be set via "limits.kernel.[limit name]"'),
        ("lxc.aa_profile = unconfined", "Failed to load config file"),
        ("lxc.nonsense = 1", "Failed to load config file"),
        ("lxc.cap.drop = nonsense", "Failed to load config file"),
        ("lxc.mount.auto = nonsense", "Failed to load config file"),
        ("just words", "Invalid raw.lxc line: just words"),
    ],
)
def test_17_raw_lines_that_are_refused(daemon: Daemon, running: str, value: str, text: str) -> None:
    said = _set(daemon, running, "raw.lxc", value)
    assert text in said, said
    config = daemon.request("GET", f"/1.0/instances/{running}").metadata["config"]
    assert "raw.lxc" not in config


def test_17_a_configuration_that_is_never_read_to_its_end_holds_nobody_up(
    daemon: Daemon, running: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "longer than" in _set(daemon, running, "raw.lxc", f"lxc.include = {tmp_path / 'fifo'}")
    assert daemon.request("GET", f"/1.0/instances/{running}/state").status == 200


def test_17_raw_lines_of_a_new_instance_are_tried_first(daemon: Daemon, lxc: Lxc, image: str) -> None:
    refused = lxc("init", image, "raw-bad", "-c", "raw.lxc=lxc.nonsense = 1")
    assert refused.status != 0 and "Failed to load config file" in refused.stderr
    assert "raw-bad" not in daemon.instance_names()


def test_17_raw_lines_are_in_force(lxc: Lxc, running: str) -> None:
    lxc("config", "set", running, "raw.lxc", "lxc.uts.name = named-raw").ok()
    lxc("restart", "--force", running).ok()
    assert lxc("exec", running, "hostname").ok().stdout == "named-raw\n"


def test_27_a_command_that_is_the_hosts_own_program_gets_nothing(lxc: Lxc, running: str) -> None:
    line = "printf '#!/proc/self/exe\\n' >/root/evil && chmod 755 /root/evil"
    lxc("exec", running, "--", "sh", "-c", line).ok()
    assert lxc("exec", running, "--", "/root/evil").status != 0


def test_27_libraries_and_variables_of_the_guest_do_nothing_outside(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "mkdir -p /lib /etc && echo /evil.so >/etc/ld.so.preload").ok()
    log = daemon.log.read_text()
    assert lxc("exec", running, "--env", "LD_PRELOAD=/evil.so", "--", "true").status == 0
    assert "evil.so" not in daemon.log.read_text()[len(log) :].replace("LD_PRELOAD=/evil.so", "")


@pytest.mark.parametrize("number", range(3, 12))
def test_28_a_working_directory_is_no_way_out(lxc: Lxc, running: str, number: int) -> None:
    ran = lxc("exec", running, "--cwd", f"/proc/self/fd/{number}", "--", "cat", "../../../etc/machine-id")
    host = Path("/etc/machine-id")
    assert ran.status != 0 or not host.exists() or ran.stdout != host.read_text()
    lxc("exec", running, "--cwd", f"/proc/self/fd/{number}", "--", "sh", "-c", "[ . -ef / ]").ok()


def test_28_a_terminal_is_the_containers_own(lxc: Lxc, running: str) -> None:
    terminal = Terminal([str(lxc.program), "exec", running, "--", "sh", "-c", "tty; ls -l /proc/self/fd/0"], lxc.env)
    terminal.expect("/dev/pts/")
    assert terminal.end() == 0


@calls.needs_x86_64
async def test_28_typing_into_the_terminal_of_another_session_is_no_way_out(host: Host) -> None:
    """TIOCSTI on the standard input of a command without a terminal, and on what it inherited, finds none of ours."""
    host.write_program("type", calls.program(16, 0, 0x5412, b"x"))
    await host.start()
    assert (await host.run("/bin/type"))[0] == 25, "ENOTTY: the daemon's terminal is not among the descriptors"


@pytest.mark.parametrize(
    "line",
    [
        "mkdir /tmp/c; mount -t cgroup -o memory c /tmp/c && echo /bin/sh >/tmp/c/release_agent",
        "echo /bin/sh >/sys/fs/cgroup/memory/release_agent",
        "echo '|/bin/sh' >/proc/sys/kernel/core_pattern",
        "mknod /tmp/mem c 1 1",
        "mknod /tmp/disk b 8 0",
        "mount -o loop /bin/sh /mnt",
        "echo 1 >/proc/sys/vm/drop_caches",
        "mount --move /proc /mnt",
    ],
)
async def test_29_ways_out_that_are_shut(host: Host, line: str) -> None:
    before = proc(1, "../sys/kernel/core_pattern")
    await host.start()
    assert (await host.run("sh", "-c", line))[0] != 0
    assert proc(1, "../sys/kernel/core_pattern") == before


def test_a_protected_instance_stays(lxc: Lxc, running: str) -> None:
    lxc("config", "set", running, "security.protection.delete", "true").ok()
    refused = lxc("delete", "--force", running)
    assert refused.status != 0 and "Container is protected" in refused.stderr
    lxc("config", "unset", running, "security.protection.delete").ok()


def test_modules_that_are_not_there_are_named_and_nothing_starts(lxc: Lxc, image: str) -> None:
    lxc("init", image, "modular", "-c", "linux.kernel_modules=nonexistent_module").ok()
    try:
        refused = lxc("start", "modular")
        assert refused.status != 0 and "Failed to load kernel module 'nonexistent_module'" in refused.stderr
        assert lxc("list", "modular", "-f", "csv", "-c", "s").ok().stdout == "STOPPED\n"
    finally:
        lxc("delete", "--force", "modular").ok()


@calls.needs_x86_64
async def test_29_keys_of_one_are_not_counted_for_another(host: Host) -> None:
    """The kernel counts them for each user of the host; an isolated container has users of its own."""
    adds = [(ADD_KEY, calls.string("user"), calls.string(f"key {n}"), b"x", 1, USER_KEYRING) for n in range(MOST_KEYS)]
    host.write_program("add", calls.sequence(*adds))
    host.write_program("one", calls.program(*adds[0]))
    host.write_program("clear", calls.program(KEYCTL, CLEAR, USER_KEYRING))
    assert host.idmap is not None
    shared = host.idmap
    await host.start()
    try:
        assert (await host.run("/bin/add"))[0] == errno.EDQUOT
        await host.containers.kill(host.name)
        first = shared.ranges[0]
        host.idmap = IdMap((IdRange("both", first.host + (1 << 16), 0, 1 << 16),))
        host.own()
        await host.start()
        assert (await host.run("/bin/one"))[0] == 0
        await host.run("/bin/clear")
    finally:
        await host.containers.kill(host.name)
        host.idmap = shared
        host.own()
        await host.start()
        assert (await host.run("/bin/clear"))[0] == 0


def test_lines_of_raw_lxc_drop_capabilities(lxc: Lxc, running: str) -> None:
    lxc("config", "set", running, "raw.lxc", "lxc.cap.drop = net_raw sys_chroot").ok()
    lxc("restart", "--force", running).ok()
    bounding = capabilities(lxc, running, "CapBnd")
    assert not bounding & (1 << CAP_NET_RAW | 1 << CAP_SYS_CHROOT)
    assert lxc("exec", running, "--", "chroot", "/", "true").status != 0


def test_a_privileged_container_lacks_what_lxd_takes_from_it(lxc: Lxc, image: str, name: str) -> None:
    lxc("launch", image, name, "-c", "security.privileged=true").ok()
    bounding = capabilities(lxc, name, "CapBnd")
    assert not any(bounding >> one & 1 for one in DROPPED.values()), hex(bounding)
    assert "can't set date: Operation not permitted" in lxc("exec", name, "--", "date", "-s", "2001-01-01").stderr


def capabilities(lxc: Lxc, name: str, which: str) -> int:
    return int(lxc("exec", name, "--", "grep", which, "/proc/self/status").ok().stdout.split()[1], 16)


@pytest.mark.parametrize("driver", ["overlay", "dir"])
def test_owners_on_disk_stay_whatever_the_map(daemon: Daemon, lxc: Lxc, image: str, name: str, driver: str) -> None:
    """security.protection.shift has nothing to forbid: another id map is shown by the mount, on every driver."""
    pool = f"{name}-{driver}"
    lxc("storage", "create", pool, driver).ok()
    try:
        lxc("launch", image, name, "--storage", pool, "-c", "security.protection.shift=true").ok()
        lxc("exec", name, "--", "sh", "-c", "echo mine >/root/file; chown 33:44 /root/file").ok()
        lxc("stop", "--force", name).ok()
        (file,) = [path for path in (daemon.state / "storage-pools" / pool).rglob("root/file") if path.is_file()]
        before = file.stat()
        for change in ("security.idmap.isolated=true", "security.privileged=true"):
            lxc("config", "set", name, change).ok()
            lxc("start", name).ok()
            assert lxc("exec", name, "--", "stat", "-c", "%u:%g", "/root/file").ok().stdout == "33:44\n"
            lxc("stop", "--force", name).ok()
        after = file.stat()
        assert (before.st_uid, before.st_gid, before.st_ctime_ns) == (after.st_uid, after.st_gid, after.st_ctime_ns)
    finally:
        lxc("delete", "--force", name)
        lxc("storage", "delete", pool).ok()
