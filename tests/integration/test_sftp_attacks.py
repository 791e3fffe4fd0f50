"""What a guest or a client could try with SFTP sessions: nothing leads out, nothing waits for ever, nothing grows."""

from __future__ import annotations

import os
import select
from contextlib import ExitStack
from pathlib import Path

import pytest

from lightervisor.client import sftp_packets as packets
from lightervisor.client.sftp_packets import Attributes, string, u32, u64
from tests.harness import sftp
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.guest import Launch
from tests.harness.processes import eventually
from tests.harness.sftp import ask

WRITING = packets.FOR_WRITING | packets.CREATING | packets.TRUNCATING


def inside(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


def resident_kib(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


@pytest.fixture
def secret(vault: Path) -> Path:
    """A file of the host that no instance has, in a directory that anybody may enter."""
    file = vault / "secret"
    file.write_text("the host's")
    file.chmod(0o666)
    return file


@pytest.mark.parametrize("kind", ["unprivileged", "privileged"])
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_no_path_leads_out_of_the_root(
    daemon: Daemon, lxc: Lxc, launch: Launch, secret: Path, state: str, kind: str
) -> None:
    name = launch({"security.privileged": str(kind == "privileged").lower()}).name
    inside(lxc, name, "ln -s / /root/out; ln -s ../../../../../../../.. /root/up; ln -s /proc/1/root /root/magic")
    if state == "stopped":
        lxc("stop", "--force", name).ok()
    ways = ["../../..{0}", "/../{0}", "/root/out{0}", "/root/up{0}", "/root/magic{0}", "/proc/1/root{0}",
            "/proc/self/root{0}", "/proc/1/cwd{0}", "/proc/self/fd/3{0}", "{0}"]  # fmt: skip
    with sftp.session(daemon, name) as session:
        for way in ways:
            place = string(way.format(secret).encode())
            assert ask(session, packets.STAT, place).kind == packets.STATUS, way
            assert ask(session, packets.OPEN, place, u32(WRITING), u32(0)).kind == packets.STATUS, way
            assert sftp.extended(session, packets.WHOLE_FILE, place, u32(0)).kind == packets.STATUS, way
            assert sftp.extended(session, packets.PUT_FILE, place, u32(0), string(b"got")).code != packets.OK, way
            assert ask(session, packets.REMOVE, place).code != packets.OK, way
            assert sftp.extended(session, packets.HARDLINK, place, string(b"/root/got")).code != packets.OK, way
    assert secret.read_text() == "the host's"


def test_folders_that_are_swapped_for_links_all_the_time_never_lead_out(
    daemon: Daemon, lxc: Lxc, running: str, secret: Path, tmp_path: Path
) -> None:
    script = (
        f"mkdir -p /root/real{secret.parent}; echo guest >/root/real{secret}; ln -s / /root/link; cd /root;"
        "(while :; do mv real a; mv link real; mv real link; mv a real; done) >/dev/null 2>&1 &"
    )
    inside(lxc, running, script)
    place = string(f"/root/real{secret}".encode())
    with sftp.session(daemon, running) as session:
        for _ in range(1000):
            opened = ask(session, packets.OPEN, place, u32(packets.FOR_READING), u32(0))
            if opened.kind == packets.HANDLE:
                handle = string(opened.fields.bytes())
                assert b"the host's" not in ask(session, packets.READ, handle, u64(0), u32(100)).data
                ask(session, packets.CLOSE, handle)
            whole = sftp.extended(session, packets.WHOLE_FILE, place, Attributes(mode=0o666).packed())
            if whole.kind == packets.HANDLE:
                handle = string(whole.fields.bytes())
                ask(session, packets.WRITE, handle, u64(0), string(b"pushed"))
                ask(session, packets.CLOSE, handle)
            sftp.extended(session, packets.PUT_FILE, place, Attributes(mode=0o666).packed(), string(b"put"))
    (tmp_path / "tree/real").mkdir(parents=True)
    (tmp_path / "tree/real/file").write_text("x")
    for _ in range(10):
        lxc("file", "push", "-r", tmp_path / "tree/real", f"{running}/root")
        lxc("file", "pull", "-r", f"{running}/root/real", tmp_path / "back")
    assert secret.read_text() == "the host's"
    assert sorted(path.name for path in secret.parent.iterdir()) == ["secret"]
    assert not (Path("/") / "file").exists()


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_files_of_the_kernel_are_not_written(daemon: Daemon, lxc: Lxc, launch: Launch, privileged: str) -> None:
    """Not even what the guest's root could write itself, where no AppArmor keeps it from it: its links say where."""
    setting = Path("/proc/sys/kernel/core_pattern")
    before = setting.read_bytes()
    name = launch({"security.privileged": privileged}).name
    inside(lxc, name, f"ln -s {setting} /root/pattern")
    with sftp.session(daemon, name) as session:
        for path in (str(setting), "/root/pattern"):
            place = string(path.encode())
            for flags in (packets.FOR_WRITING, packets.FOR_READING | packets.FOR_WRITING, packets.APPENDING):
                refused = ask(session, packets.OPEN, place, u32(flags), u32(0))  # nothing is written, nor emptied
                assert refused.code == packets.PERMISSION_DENIED
            whole = sftp.extended(session, packets.WHOLE_FILE, place, u32(0))
            assert whole.code in (packets.PERMISSION_DENIED, packets.NO_SUCH_FILE)
            put = sftp.extended(session, packets.PUT_FILE, place, u32(0), string(before))
            assert put.code in (packets.PERMISSION_DENIED, packets.NO_SUCH_FILE)
            url = f"/1.0/instances/{name}/files?path={path}"
            assert daemon.request("POST", url, before).status == 403  # what it says already, to be on the safe side
        assert ask(session, packets.OPEN, string(b"/proc/kmsg"), u32(1), u32(0)).kind == packets.STATUS
    assert setting.read_bytes() == before


def test_pipes_sockets_and_devices_hold_nobody_up(daemon: Daemon, lxc: Lxc, running: str, tmp_path: Path) -> None:
    inside(lxc, running, "mkfifo /root/pipe; ln -s pipe /root/link; nc -l -U /root/socket >/dev/null 2>&1 &")
    with sftp.session(daemon, running) as session:
        for path in (b"/root/pipe", b"/root/link", b"/dev/zero", b"/dev/console", b"/dev/ptmx", b"/dev/full"):
            for flags in (packets.FOR_READING, WRITING):
                refused = ask(session, packets.OPEN, string(path), u32(flags), u32(0))
                assert refused.kind == packets.STATUS, path
                assert "not a regular file" in refused.text, path
            assert sftp.extended(session, packets.WHOLE_FILE, string(path), u32(0)).kind == packets.STATUS
            assert sftp.extended(session, packets.PUT_FILE, string(path), u32(0), string(b"x")).code != packets.OK
    pulled = lxc("file", "pull", "-r", f"{running}/root", tmp_path / "back").ok()
    assert "/root/pipe is a device, a pipe or a socket, and is left out" in pulled.stderr
    assert [path.name for path in (tmp_path / "back/root").iterdir()] == ["link"]


def test_the_process_has_little_that_a_guest_could_want(daemon: Daemon, running: str) -> None:
    with sftp.session(daemon, running) as session:
        ask(session, packets.STAT, string(b"/"))
        (pid,) = sftp.processes_of(daemon)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0x1F
        assert (status["NoNewPrivs"], status["CapInh"].strip("0")) == ("1", "")
        assert "0" not in status["Uid"].split()
        links = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
        allowed = ("socket:", "/dev/null", "/", f"/proc/{pid}/fd", str(daemon.log))
        assert all(link.startswith("socket:") or link in allowed for link in links), links
        spaces = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "mnt")]  # noqa: PTH115
        assert spaces != [os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt")]  # noqa: PTH115


@pytest.mark.parametrize("rest", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x01\x02" * 9, b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_sftp_ends_the_session(daemon: Daemon, running: str, rest: bytes) -> None:
    with sftp.raw(daemon, running, rest) as connection:
        assert connection.recv(100) == b""
    eventually(lambda: not sftp.processes_of(daemon), what="the process to end")


def test_a_client_that_does_not_read_holds_up_itself_alone(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "head -c 4m /dev/zero >/root/large")
    before = daemon.most_memory_kib()
    with sftp.raw(daemon, running, packets.greeting(packets.INIT)) as connection:
        wanted = string(b"/root/large") + u32(packets.FOR_READING) + u32(0)
        connection.sendall(packets.packet(packets.OPEN, 1, wanted))
        reads = b"".join(
            packets.packet(packets.READ, number, string(b"1"), u64(0), u32(1 << 18)) for number in range(100_000)
        )
        connection.setblocking(False)
        sent = 0
        while sent < len(reads) and select.select([], [connection], [], 2)[1]:
            sent += connection.send(reads[sent : sent + 65536])
        (pid,) = sftp.processes_of(daemon)
        assert resident_kib(pid) < 48 << 10
        assert daemon.most_memory_kib() - before < 48 << 10
        assert lxc("file", "pull", f"{running}/etc/hostname", "-").ok().stdout == "busybox\n"
    eventually(lambda: not sftp.processes_of(daemon), what="the process to end")


def test_many_sessions_at_once_are_served_and_end(daemon: Daemon, running: str) -> None:
    with ExitStack() as stack:
        sessions = [stack.enter_context(sftp.session(daemon, running)) for _ in range(20)]
        for session in sessions:
            assert ask(session, packets.STAT, string(b"/etc/passwd")).kind == packets.ATTRS
        assert len(sftp.processes_of(daemon)) == 20
    eventually(lambda: not sftp.processes_of(daemon), what="the processes to end")


def test_sessions_end_with_a_daemon_that_is_killed(fresh_daemon: Daemon, fresh_image: str) -> None:
    name = "killed"
    post = {"name": name, "source": {"type": "image", "alias": fresh_image}}
    assert fresh_daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    assert fresh_daemon.operation("POST", f"/1.0/instances/{name}/snapshots", {"name": "snap"})["err"] == ""
    with sftp.session(fresh_daemon, name) as session, sftp.session(fresh_daemon, name, snapshot="snap") as other:
        assert ask(other, packets.STAT, string(b"/root")).kind == packets.ATTRS
        handle = sftp.begun_whole(session, "/root/half")
        ask(session, packets.WRITE, handle, u64(0), string(b"half"))
        pids = sftp.processes_of(fresh_daemon)
        assert len(pids) == 2
        fresh_daemon.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="the processes to end")
    fresh_daemon.start()
    assert f"{fresh_daemon.state}/storage-pools" not in Path("/proc/mounts").read_text(), "it is still mounted"
    with sftp.session(fresh_daemon, name) as session:
        assert ask(session, packets.STAT, string(b"/root/half")).code == packets.NO_SUCH_FILE
