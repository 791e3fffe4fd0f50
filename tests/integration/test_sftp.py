"""SFTP sessions in containers and snapshots: what they can do, and when they end."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from lightervisor.api.upgrades import GOODBYE_S
from lightervisor.client import sftp_packets as packets
from lightervisor.client.light import ApiError
from lightervisor.client.sftp_packets import Attributes, string, u32, u64
from tests.conftest import discard
from tests.harness import sftp
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.sftp import ask

BOTH = packets.FOR_READING | packets.FOR_WRITING | packets.CREATING


def inside(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


def test_files_are_the_guests_whatever_lies_below(daemon: Daemon, lxc: Lxc, whatever_lies_below: str) -> None:
    name = whatever_lies_below
    for state in ("stopped", "running"):
        if state == "running":
            lxc("start", name).ok()
        with sftp.session(daemon, name) as session:
            wanted = Attributes(uid=7, gid=8, mode=0o640).packed()
            path = string(f"/root/{state}".encode())
            answer = ask(session, packets.OPEN, path, u32(BOTH), wanted)
            handle = string(answer.fields.bytes())
            assert ask(session, packets.WRITE, handle, u64(0), string(b"content")).code == packets.OK
            assert ask(session, packets.READ, handle, u64(3), u32(100)).fields.bytes() == b"tent"
            assert ask(session, packets.CLOSE, handle).code == packets.OK
            told = ask(session, packets.LSTAT, path).fields.attributes()
            assert (told.uid, told.gid, told.mode, told.size) == (7, 8, 0o100640, 7)
    assert inside(lxc, name, "cd /root; stat -c '%n %u %g' *") == "running 7 8\nstopped 7 8\n"


def test_what_is_mounted_inside_is_seen(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "mount -t tmpfs tmpfs /mnt; echo x >/mnt/seen")
    with sftp.session(daemon, running) as session:
        assert ask(session, packets.STAT, string(b"/mnt/seen")).kind == packets.ATTRS
        assert ask(session, packets.REMOVE, string(b"/mnt/seen")).code == packets.OK
    assert inside(lxc, running, "ls /mnt") == ""


def test_every_request_does_what_it_says(daemon: Daemon, lxc: Lxc, running: str) -> None:
    with sftp.session(daemon, running) as session:

        def path(name: str) -> bytes:
            return string(f"/root/{name}".encode())

        def done(kind: int, *fields: bytes) -> None:
            assert ask(session, kind, *fields).code == packets.OK

        done(packets.MKDIR, path("folder"), Attributes(mode=0o750).packed())
        done(packets.CLOSE, sftp.opened(session, "/root/file", BOTH))
        done(packets.RENAME, path("file"), path("folder/moved"))
        done(packets.SYMLINK, string(b"folder/moved"), path("link"))
        done(packets.SETSTAT, path("link"), Attributes(uid=3, gid=4, mode=0o4755, seconds=(5, 6), size=9).packed())
        done(packets.EXTENDED, string(b"hardlink@openssh.com"), path("folder/moved"), path("again"))
        done(packets.EXTENDED, string(b"lsetstat@openssh.com"), path("link"), Attributes(uid=1, gid=2).packed())
        shown = inside(lxc, running, "cd /root; stat -c '%n %u %g %a %h %s %Y' folder link again; readlink link")
        assert shown.splitlines()[1].startswith("link 1 2 777")
        assert shown.splitlines()[2:] == ["again 3 4 4755 2 9 6", "folder/moved"]
        assert ask(session, packets.READLINK, path("link")).fields.u32() == 1
        handle = string(ask(session, packets.OPENDIR, string(b"/root")).fields.bytes())
        assert ask(session, packets.READDIR, handle).fields.u32() == 3
        assert ask(session, packets.READDIR, handle).code == packets.END
        done(packets.CLOSE, handle)
        real = ask(session, packets.REALPATH, string(b"/root/link")).fields
        assert (real.u32(), real.bytes()) == (1, b"/root/folder/moved")
        assert sftp.extended(session, packets.STATVFS, string(b"/")).kind == packets.EXTENDED_REPLY
        assert sftp.extended(session, "unheard@of").code == packets.UNSUPPORTED
        assert ask(session, 77, b"").code == packets.UNSUPPORTED
        done(packets.REMOVE, path("link"))
        done(packets.REMOVE, path("again"))
        refused = ask(session, packets.RMDIR, path("folder"))
        assert (refused.code, refused.text) == (packets.FAILURE, "rmdir /root/folder: directory not empty")
        done(packets.REMOVE, path("folder/moved"))
        done(packets.RMDIR, path("folder"))
        missing = ask(session, packets.STAT, path("folder"))
        assert (missing.code, missing.text) == (packets.NO_SUCH_FILE, "stat /root/folder: no such file or directory")


def test_a_file_appears_when_it_is_whole_or_not_at_all(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "cd /root; echo before >old; chown 3:4 old; chmod 604 old; echo two >one; ln one two")
    with sftp.session(daemon, running) as session:
        for name in ("new", "old", "one"):
            handle = sftp.begun_whole(session, f"/root/{name}")
            ask(session, packets.WRITE, handle, u64(0), string(b"after\n"))
            if name != "one":
                assert inside(lxc, running, "cd /root; ls -A; cat old") == "old\none\ntwo\nbefore\n".replace(
                    "old\n", "new\nold\n" if name == "old" else "old\n", 1
                )
            assert ask(session, packets.CLOSE, handle).code == packets.OK
        shown = inside(lxc, running, "cd /root; cat new old two; stat -c '%u %g %a' old; ls -A")
        assert shown == "after\nafter\nafter\n3 4 604\nnew\nold\none\ntwo\n"
        sftp.begun_whole(session, "/root/never")
        sftp.begun_whole(session, "/root/old")
    eventually(lambda: not sftp.processes_of(daemon), what="the session to end")
    assert inside(lxc, running, "cd /root; cat old; ls -A") == "after\nnew\nold\none\ntwo\n"


@pytest.mark.parametrize("end", ["stop", "delete", "rename", "restore", "rebuild", "refresh"])
def test_a_session_ends_before_what_it_uses_goes(daemon: Daemon, lxc: Lxc, image: str, name: str, end: str) -> None:
    lxc.create(image, name)
    lxc("snapshot", name, "snap").ok()
    if end == "stop":
        lxc("start", name).ok()
    elif end == "refresh":
        lxc("copy", name, f"{name}-of").ok()
    with sftp.session(daemon, name) as session:
        assert ask(session, packets.STAT, string(b"/etc/passwd")).kind == packets.ATTRS
        assert len(sftp.processes_of(daemon)) == 1
        words = {
            "stop": ["stop", "--force", name],
            "delete": ["delete", name],
            "rename": ["rename", name, f"{name}-2"],
            "restore": ["restore", name, "snap"],
            "rebuild": ["rebuild", image, name],
            "refresh": ["copy", "--refresh", f"{name}-of", name],
        }
        lxc(*words[end]).ok()
        with pytest.raises(ApiError, match="connection was closed"):
            ask(session, packets.STAT, string(b"/etc/passwd"))
    assert sftp.processes_of(daemon) == []
    discard(daemon, f"{name}-2" if end == "rename" else name)
    if end == "refresh":
        discard(daemon, f"{name}-of")


def test_a_session_of_a_stopped_instance_goes_on_when_it_is_started(
    daemon: Daemon, lxc: Lxc, image: str, name: str
) -> None:
    lxc.create(image, name)
    with sftp.session(daemon, name) as session:
        lxc("start", name).ok()
        handle = sftp.opened(session, "/root/note", BOTH)
        assert ask(session, packets.WRITE, handle, u64(0), string(b"seen")).code == packets.OK
        assert inside(lxc, name, "cat /root/note") == "seen"
    lxc("stop", "--force", name).ok()


def test_a_snapshot_is_read_and_not_changed(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("file", "push", "--uid=7", "--gid=8", "-", f"{running}/root/note", stdin="then").ok()
    lxc("snapshot", running, "snap").ok()
    lxc("file", "push", "-", f"{running}/root/note", stdin="now").ok()
    with sftp.session(daemon, running, snapshot="snap") as session:
        handle = sftp.opened(session, "/root/note", packets.FOR_READING)
        assert ask(session, packets.READ, handle, u64(0), u32(100)).fields.bytes() == b"then"
        told = ask(session, packets.LSTAT, string(b"/root/note")).fields.attributes()
        assert (told.uid, told.gid) == (7, 8)
        for refused in (
            ask(session, packets.OPEN, string(b"/root/new"), u32(BOTH), u32(0)),
            ask(session, packets.REMOVE, string(b"/root/note")),
            sftp.extended(session, packets.WHOLE_FILE, string(b"/root/new"), u32(0)),
            sftp.extended(session, packets.PUT_FILE, string(b"/root/new"), u32(0), string(b"")),
            sftp.extended(session, packets.POSIX_RENAME, string(b"/root/note"), string(b"/root/new")),
        ):
            assert "read-only file system" in refused.text
        lxc("delete", f"{running}/snap").failed("is being read")
    eventually(lambda: lxc("delete", f"{running}/snap").status == 0, what="the snapshot to be read no more")


def test_a_session_does_not_keep_the_daemon_from_ending(fresh_daemon: Daemon, fresh_image: str) -> None:
    post = {"name": "mounted", "source": {"type": "image", "alias": fresh_image}}
    assert fresh_daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    with sftp.session(fresh_daemon, "mounted") as session:
        assert ask(session, packets.STAT, string(b"/")).kind == packets.ATTRS
        begun = time.monotonic()
        fresh_daemon.restart()
        assert time.monotonic() - begun < GOODBYE_S


def test_who_asks_for_no_upgrade_is_told(daemon: Daemon, running: str) -> None:
    for tree in ("instances", "containers"):
        answer = daemon.request("GET", f"/1.0/{tree}/{running}/sftp")
        assert (answer.status, answer.error) == (400, "Missing or invalid upgrade header")
    headers = {"Upgrade": "sftp", "Connection": "Upgrade"}
    assert daemon.request("GET", "/1.0/instances/nothing/sftp", headers=headers).status == 404
    assert daemon.request("GET", f"/1.0/instances/{running}/snapshots/no/sftp", headers=headers).status == 404


@pytest.mark.skipif(not shutil.which("sftp"), reason="needs OpenSSH's sftp")
def test_openssh_works_with_it(daemon: Daemon, lxc: Lxc, running: str, tmp_path: Path) -> None:
    """Its client starts a program for the connection; here that is one that connects to the session."""
    (tmp_path / "here").write_bytes(os.urandom(3_000_000))
    batch = tmp_path / "batch"
    batch.write_text(
        f"put {tmp_path}/here /root/there\nget /root/there {tmp_path}/back\nmkdir /root/d\nls -l /root\n"
        f"rename /root/there /root/d/x\nsymlink d/x /root/l\nchmod 600 /root/d/x\ndf /root\nbye\n"
    )
    script = tmp_path / "connect"
    script.write_text(
        "#!/bin/sh\nexec python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); "
        "from tests.harness.sftp_pipe import main; main(*sys.argv[2:])' "
        f"{Path(__file__).parents[2]} {daemon.state}/unix.socket {running}\n"
    )
    script.chmod(0o755)
    done = subprocess.run(
        ["sftp", "-b", batch, "-S", script, "guest"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()
    assert inside(lxc, running, "stat -c '%a %s' /root/d/x; readlink /root/l") == "600 3000000\nd/x\n"
