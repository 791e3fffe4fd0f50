"""Attacks 26, 28, 29 and 33: what a running guest, or one who pushes files into it, may try against the host."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from lightervisor.kernel import guests, syscalls
from lightervisor.kernel.idmap import map_of_process
from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Answer, Daemon
from tests.harness.guest import Guest, Launch
from tests.harness.processes import eventually
from tests.harness.terminal import Terminal

MIB = 1 << 20
HUGE = (1 << 63) - 1
NOBODY_ID = "4294967295"


def url(name: str, path: str) -> str:
    return f"/1.0/instances/{name}/files?path={quote(path)}"


def push(daemon: Daemon, name: str, path: str, data: bytes = b"pushed", **headers: str) -> Answer:
    return daemon.request("POST", url(name, path), data, headers={f"X-LXD-{k}": v for k, v in headers.items()})


def begun(daemon: Daemon, name: str, path: str) -> socket.socket:
    """A connection on which a file is asked for, and nothing was read yet."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(daemon.state / "unix.socket"))
    client.sendall(f"GET {url(name, path)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def test_26_a_file_without_end_takes_no_memory(daemon: Daemon, lxc: Lxc, running: str) -> None:
    script = f"mount -t tmpfs tmpfs /mnt && busybox truncate -s {HUGE} /mnt/huge"
    lxc("exec", running, "--", "sh", "-c", script).ok()
    daemon.request("GET", url(running, "/etc/hostname"))
    before = daemon.most_memory_kib()
    with begun(daemon, running, "/mnt/huge") as client:
        received = 0
        while received < 64 * MIB:
            received += len(client.recv(MIB))
    assert daemon.request("HEAD", url(running, "/mnt/huge")).status == 200
    assert daemon.most_memory_kib() - before < 32 << 10


def test_26_a_file_that_shrinks_ends_the_answer(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "head -c 200000000 /dev/zero >/root/large").ok()
    with begun(daemon, running, "/root/large") as client:
        received = len(client.recv(MIB))
        lxc("exec", running, "--", "sh", "-c", ": >/root/large").ok()
        while piece := client.recv(MIB):
            received += len(piece)
    assert received < 200_000_000
    assert daemon.request("GET", url(running, "/root/large")).body == b""


def test_26_a_file_that_grows_is_as_long_as_was_said(daemon: Daemon, lxc: Lxc, running: str) -> None:
    grow = "while :; do echo more >>/root/grows || exit; done >/dev/null 2>&1 &"
    lxc("exec", running, "--", "sh", "-c", f"echo first >/root/grows; {grow}").ok()
    for _ in range(30):
        answer = daemon.request("GET", url(running, "/root/grows"))
        assert answer.status == 200
        assert len(answer.body) == int({k.lower(): v for k, v in answer.headers.items()}["content-length"])


def test_26_a_program_that_runs_is_replaced_or_stays(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "cp /bin/busybox /root/sleep; /root/sleep 1000 >/dev/null 2>&1 &").ok()
    answer = push(daemon, running, "/root/sleep", b"#!/bin/sh\n")
    if answer.status != 200:
        assert "text file busy" in answer.error, answer.error
    lxc("exec", running, "--", "sh", "-c", "kill $(busybox pidof sleep)").ok()
    assert push(daemon, running, "/root/sleep", b"#!/bin/sh\n").status == 200
    assert daemon.request("GET", url(running, "/root/sleep")).body == b"#!/bin/sh\n"


@pytest.mark.parametrize("path", ["/proc", "/proc/sys", "/sys", "/dev/pts", "/", "/dev/lxd/sock"])
def test_26_nothing_is_written_over_a_mount(daemon: Daemon, running: str, path: str) -> None:
    assert push(daemon, running, path).status >= 400
    assert daemon.request("DELETE", url(running, path)).status >= 400
    assert Guest(daemon, running).ask("/1.0").status == 200


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_26_nobodys_id_is_no_owner(daemon: Daemon, launch: Launch, lxc: Lxc, privileged: str) -> None:
    """To chown it means that the owner stays: root of the host, or of the guest."""
    name = launch({"security.privileged": privileged}).name
    for kind in ("uid", "gid"):
        for type_ in ("file", "directory", "symlink"):
            answer = push(daemon, name, f"/root/{type_}", b"/target", type=type_, **{kind: NOBODY_ID})
            assert 400 <= answer.status < 500, answer.body
            assert answer.status == 400 and NOBODY_ID in answer.error, answer.error
            assert daemon.request("HEAD", url(name, f"/root/{type_}")).status == 404
        ran = lxc("exec", name, "--user" if kind == "uid" else "--group", NOBODY_ID, "--", "id", "-u")
        assert ran.status != 0 and ran.stdout == "", ran.stdout


def test_28_nobody_inside_looks_into_what_enters(daemon: Daemon, image: str, name: str) -> None:
    """Root of the container tries all processes that it sees, as fast as it can, while commands are run."""
    # Without a network: the sockets of a DHCP client are the container's own.
    body = {"name": name, "source": {"type": "image", "alias": image}, "devices": {"eth0": {"type": "none"}}}
    for method, path, asked in (
        ("POST", "/1.0/instances", body),
        ("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30}),
    ):
        assert daemon.operation(method, path, asked)["status"] == "Success"
    code = """
import ctypes
found, libc, mine = [], ctypes.CDLL(None), str(os.getpid())
os.chdir("/")
tell("ready")
end = time.monotonic() + 8
while time.monotonic() < end and not os.path.exists(place + "/etc/stop"):
    for pid in os.listdir(place + "/proc"):
        if not pid.isdecimal() or pid == mine:
            continue
        here = f"{place}/proc/{pid}"
        for what in ("exe", "cwd", "root", "fd/0", "fd/3", "fd/5"):
            try:
                target = os.readlink(f"{here}/{what}")
            except OSError:
                continue
            if what == "exe" and "busybox" not in target or "socket" in target:
                found.append([pid, what, target])
        try:
            os.close(os.open(f"{here}/mem", os.O_RDWR))
            with open(f"{here}/cmdline", "rb") as line:
                if b"python" in line.read():
                    found.append([pid, "mem"])
        except OSError:
            pass
tell(found)
"""
    racer = Guest(daemon, name, place=f"/proc/{daemon_pid(daemon, name)}/root").start(code)
    assert racer.stdout is not None
    assert json.loads(racer.stdout.readline()) == "ready"
    body = {"command": ["true"], "wait-for-websocket": False}
    for _ in range(60):
        answer = daemon.request("POST", f"/1.0/instances/{name}/exec", body)
        daemon.request("GET", f"{answer.envelope['operation']}/wait")
    push(daemon, name, "/etc/stop", b"")
    found, _ = racer.communicate(timeout=60)
    assert found == "[]\n"  # as text, so that a failure shows all of it


def daemon_pid(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


@contextmanager
def that_never_answers(pid: int, path: str) -> Iterator[None]:
    """A file system of FUSE at a path inside, whose program does not read what it is asked."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    guest = guests.Guest(pid, map_of_process(pid))
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    try:
        guests.in_mounts(guest, lambda _: syscalls.mount("never", path, "fuse", 0, options))
        yield
    finally:
        os.close(device)
        guests.in_mounts(guest, lambda _: syscalls.umount2(path, syscalls.MNT_DETACH))


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")  # noqa: PTH110
def test_28_a_file_system_that_never_answers_holds_up_nobody_else(daemon: Daemon, lxc: Lxc, running: str) -> None:
    """Any guest's root can mount one over what is looked at before a command is run."""
    with that_never_answers(daemon_pid(daemon, running), "/etc"):
        commands = [
            subprocess.Popen([str(lxc.program), "exec", running, "--", "true"], env={**os.environ, **lxc.env})
            for _ in range(12)
        ]
        waits: list[float] = []
        while any(command.poll() is None for command in commands):
            begun = time.monotonic()
            assert daemon.request("GET", "/1.0/instances").status == 200
            waits.append(time.monotonic() - begun)
        assert [command.wait() for command in commands] == [0] * 12
        assert max(waits) < 5, max(waits)
    assert lxc("exec", running, "--", "sh", "-c", "echo $PATH").ok().stdout.count(":") == 5


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")  # noqa: PTH110
def test_26_a_file_system_that_never_answers_holds_up_its_own_files(
    daemon: Daemon, lxc: Lxc, running: str, image: str
) -> None:
    other = f"{running}-b"
    lxc("launch", image, other).ok()
    with ExitStack() as waiting:
        with that_never_answers(daemon_pid(daemon, running), "/mnt"):
            for number in range(20):
                waiting.enter_context(begun(daemon, running, f"/mnt/{number}"))
            waits: list[float] = []
            for _ in range(20):
                started = time.monotonic()
                assert daemon.request("GET", url(other, "/etc/passwd")).status == 200
                assert push(daemon, other, "/root/file").status == 200
                waits.append(time.monotonic() - started)
            assert max(waits) < 5, max(waits)
            lxc("exec", other, "--", "true").ok()
            lxc("config", "set", running, "user.note=x").ok()
        assert daemon.request("GET", url(running, "/etc/passwd")).status == 200
    lxc("stop", "--force", running).ok()


def test_signs_of_more_programs_are_seen(lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "mkdir", "-p", "/snap/bin").ok()
    for _ in range(2):  # whether the kernel knows it or the file system is asked
        assert lxc("exec", running, "--", "sh", "-c", "echo $PATH").ok().stdout.endswith(":/snap/bin\n")
    lxc("exec", running, "--", "rm", "-r", "/snap").ok()
    assert "/snap" not in lxc("exec", running, "--", "sh", "-c", "echo $PATH").ok().stdout


def test_29_a_fork_bomb_stays_within_its_limit(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("config", "set", running, "limits.processes", "60").ok()
    lxc("exec", running, "--", "sh", "-c", "b() { b | b & }; (b) >/dev/null 2>&1 & sleep 1")
    assert daemon.request("GET", f"/1.0/instances/{running}/state").metadata["processes"] <= 60
    lxc("stop", "--force", running).ok()
    assert lxc.statuses()[running] == "Stopped"


def test_33_names_of_interfaces_do_not_steer_the_terminal(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "ip link set eth0 down; ip link set eth0 name $'\\x1b]0;own\\x07'").ok()
    lxc("exec", running, "--", "ip", "address", "add", "10.9.8.7/24", "dev", "\x1b]0;own\x07").ok()
    lxc("exec", running, "--", "ip", "link", "set", "\x1b]0;own\x07", "up").ok()
    for words in (["list", running], ["info", running], ["network", "info", daemon.bridge], ["list", "-f", "compact"]):
        shown = lxc(*words).ok().stdout
        assert "\x1b" not in shown and "\x07" not in shown, shown
    assert "\\x1b]0;own\\x07" in lxc("list", running).ok().stdout


def test_33_a_console_log_does_not_steer_the_terminal(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc(
        "exec", running, "--", "sh", "-c", "printf '\\033[31mred\\033[0m \\033]0;own\\007\\033[6nend\\n' >/dev/console"
    ).ok()
    log = f"/1.0/instances/{running}/console"
    eventually(lambda: b"\x1b[6nend" in daemon.request("GET", log).body, what="the line in the log")
    terminal = Terminal([str(lxc.program), "console", running, "--show-log"], lxc.env)
    terminal.expect("end")
    assert terminal.end() == 0
    shown = terminal.seen
    assert "\x1b[31mred\x1b[0m end" in shown
    assert "\x1b]" not in shown and "\x1b[6n" not in shown
    # What goes into a file or a pipe is as it was written.
    assert "\x1b[6nend" in lxc("console", running, "--show-log").ok().stdout


@pytest.mark.parametrize("driver", ["overlay", "dir"])
def test_32_a_program_with_roots_rights_is_out_of_reach(
    daemon: Daemon, lxc: Lxc, image: str, name: str, driver: str
) -> None:
    """The guest's root gives its shell the set-user-id bit: no user of the host gets to it, in any pool."""
    pool = f"{name}-{driver}"
    lxc("storage", "create", pool, driver).ok()
    try:
        for number, privileged in enumerate(("true", "false")):
            box = f"{name}-{number}"
            lxc("launch", image, box, "--storage", pool, "-c", f"security.privileged={privileged}").ok()
            lxc("exec", box, "--", "sh", "-c", "cp /bin/busybox /root/su; chmod 6755 /root /root/su").ok()
            pid = daemon_pid(daemon, box)
            found = [path for path in (daemon.state / "storage-pools" / pool).rglob("su") if path.parent.name == "root"]
            assert found and all(stat.S_IMODE(path.lstat().st_mode) == 0o6755 for path in found)
            stranger = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--"]
            for path in [*found, Path(f"/proc/{pid}/root/root/su")]:
                assert processes.run([*stranger, path, "id", "-u"]).status != 0
                assert processes.run([*stranger, "ls", path]).status != 0
            lxc("delete", "--force", box).ok()
    finally:
        for number in range(2):
            lxc("delete", "--force", f"{name}-{number}")
        lxc("storage", "delete", pool).ok()
