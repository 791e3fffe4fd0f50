"""What a guest or a client could try with the files API: nothing leads out, nothing waits for ever, nothing is left."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Answer, Daemon
from tests.harness.processes import eventually
from tests.harness.sftp import nameless_files

QUICKLY_S = 60  # of what would hang for ever


def url(name: str, path: str) -> str:
    return f"/1.0/instances/{name}/files?path={quote(path)}"


def inside(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


def push(daemon: Daemon, name: str, path: str, data: bytes = b"pushed", **headers: str) -> Answer:
    named = {f"X-LXD-{key}": value for key, value in headers.items()}
    return daemon.request("POST", url(name, path), data, headers=named, timeout_s=QUICKLY_S)


@pytest.fixture
def secret(vault: Path) -> Path:
    """A file of the host that no instance has, in a directory that anybody may enter."""
    file = vault / "secret"
    file.write_text("the host's")
    file.chmod(0o666)
    return file


@pytest.mark.parametrize("path", ["../../../{0}", "/../{0}", "/root/../../..{0}", "/root/out{0}", "/root/up{0}"])
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_no_path_leads_out_of_the_root(
    daemon: Daemon, lxc: Lxc, running: str, secret: Path, path: str, state: str
) -> None:
    inside(lxc, running, "ln -s / /root/out; ln -s ../../../../../../../.. /root/up")
    if state == "stopped":
        lxc("stop", "--force", running).ok()
    place = path.format(secret)
    assert daemon.request("GET", url(running, place)).status == 404
    assert push(daemon, running, place).status == 404
    assert daemon.request("DELETE", url(running, place)).status == 404
    assert push(daemon, running, f"{place}2", type="directory").status == 404
    assert push(daemon, running, f"{place}2", b"x", type="symlink").status == 404
    assert secret.read_text() == "the host's"
    assert not secret.with_name("secret2").exists()


@pytest.mark.parametrize("link", ["/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/proc/self/fd/1"])
def test_magic_links_are_not_followed(daemon: Daemon, lxc: Lxc, running: str, secret: Path, link: str) -> None:
    inside(lxc, running, f"ln -s {link} /root/magic")
    for place in (f"{link}{secret}", f"/root/magic{secret}"):
        assert daemon.request("GET", url(running, place)).status >= 400
        assert push(daemon, running, place).status >= 400
    assert secret.read_text() == "the host's"


def test_a_link_that_is_swapped_all_the_time_never_leads_out(
    daemon: Daemon, lxc: Lxc, running: str, secret: Path
) -> None:
    script = (
        f"mkdir -p /root/real{secret.parent}; echo guest >/root/real{secret}; ln -s / /root/link; cd /root;"
        "(while :; do mv real a; mv link real; mv real link; mv a real; done) >/dev/null 2>&1 &"
    )
    inside(lxc, running, script)
    for _ in range(300):
        answer = daemon.request("GET", url(running, f"/root/real{secret}"))
        assert b"the host's" not in answer.body
        push(daemon, running, f"/root/real{secret}")
    assert secret.read_text() == "the host's"


def test_what_the_kernel_protects_from_the_guest_is_protected(daemon: Daemon, lxc: Lxc, running: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    inside(lxc, running, "ln -s /proc/sys/kernel/core_pattern /root/pattern")
    for path in ("/proc/sys/kernel/core_pattern", "/root/pattern"):
        assert push(daemon, running, path, b"|/bin/false").status == 403
    assert daemon.request("GET", url(running, "/proc/kmsg"), timeout_s=QUICKLY_S).status == 403
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_pipes_sockets_and_devices_hold_nobody_up(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "mkfifo /root/pipe; ln -s pipe /root/link; nc -l -U /root/socket >/dev/null 2>&1 &")
    for path in ("/root/pipe", "/root/link", "/dev/zero", "/dev/console", "/dev/ptmx", "/dev/full"):
        daemon.request("GET", url(running, path), timeout_s=QUICKLY_S)
        daemon.request("HEAD", url(running, path), timeout_s=QUICKLY_S)
        assert push(daemon, running, path).status == 500
    lxc("file", "delete", f"{running}/root/pipe").ok()


def test_a_full_disk_is_told_and_leaves_no_half_a_file(
    either: Lxc, daemon: Daemon, running: str, tmp_path: Path
) -> None:
    either("exec", running, "--", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt").ok()
    large = tmp_path / "large"
    large.write_bytes(bytes(8 << 20))
    either("file", "push", large, f"{running}/mnt/large").failed("no space left on device")
    assert daemon.request("GET", url(running, "/mnt")).metadata == []
    either("file", "push", "-", f"{running}/mnt/small", stdin="fits").ok()
    assert either("file", "pull", f"{running}/mnt/small", "-").ok().stdout == "fits"


def test_a_read_only_place_is_told(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "mount -t tmpfs -o ro tmpfs /mnt")
    assert push(daemon, running, "/mnt/x").error == 'sftp: "open /mnt/x: read-only file system" (SSH_FX_FAILURE)'


def test_a_client_that_goes_away_leaves_nothing(daemon: Daemon, image: str, name: str, lxc: Lxc) -> None:
    lxc.create(image, name)
    push(daemon, name, "/root/old", b"before")
    for path in ("/root/half", "/root/old"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.state / "unix.socket"))
            head = f"POST {url(name, path)} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
            client.sendall(head.encode() + bytes(4_000_000))
            eventually(lambda: nameless_files(daemon) == 1, what="the file to be written")
            assert b"half" not in daemon.request("GET", url(name, "/root")).body
        eventually(lambda: nameless_files(daemon) == 0, what="the half to go")
    assert daemon.request("GET", url(name, "/root")).metadata == ["old"]
    assert daemon.request("GET", url(name, "/root/old")).body == b"before"


def test_a_daemon_that_is_killed_leaves_no_half_a_file(fresh_daemon: Daemon, fresh_image: str) -> None:
    name = "killed"
    post = {"name": name, "source": {"type": "image", "alias": fresh_image}}
    assert fresh_daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    push(fresh_daemon, name, "/root/old", b"before")
    with ExitStack() as stack:
        for number, path in enumerate(("/root/half", "/root/old"), 1):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(fresh_daemon.state / "unix.socket"))
            head = f"POST {url(name, path)} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
            client.sendall(head.encode() + bytes(4_000_000))
            eventually(lambda wanted=number: nameless_files(fresh_daemon) == wanted, what="the file to be written")
        fresh_daemon.kill()
    fresh_daemon.start()
    assert fresh_daemon.request("GET", url(name, "/root")).metadata == ["old"]
    assert fresh_daemon.request("GET", url(name, "/root/old")).body == b"before"


def test_what_is_pushed_replaces_a_file_at_once_and_keeps_what_it_was(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "cd /root; echo old >f; chown 3:4 f; chmod 4751 f; echo old >g; ln g h; ln -s f l")
    inside(lxc, running, "cd /root; cp /bin/busybox b; ./b sleep 99 &")
    for path in ("f", "g", "l", "b"):
        assert push(daemon, running, f"/root/{path}", b"new\n").status == 200
    shown = inside(lxc, running, "cd /root; cat f h b; stat -c '%u %g %a' f; readlink l; ls -A | tr '\\n' ' '")
    assert shown == "new\nnew\nnew\n3 4 4751\nf\nb f g h l "


def test_a_file_that_is_mounted_is_written_where_it_is(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inside(lxc, running, "cd /root; echo below >f; echo above >g; mount --bind g f")
    assert push(daemon, running, "/root/f", b"new\n").status == 200
    assert inside(lxc, running, "cd /root; cat f g; umount f; cat f") == "new\nnew\nbelow\n"


def test_a_large_file_passes_through_in_little_memory(daemon: Daemon, lxc: Lxc, running: str, tmp_path: Path) -> None:
    large, back = tmp_path / "large", tmp_path / "back"
    with large.open("wb") as file:
        file.truncate(512 << 20)
    lxc("file", "push", "-", f"{running}/root/warm", stdin="x" * 4_000_000).ok()
    before = daemon.most_memory_kib()
    lxc("file", "push", large, f"{running}/root/large").ok()
    lxc("file", "pull", f"{running}/root/large", back).ok()
    assert back.stat().st_size == 512 << 20
    assert daemon.most_memory_kib() - before < 32 << 10


@pytest.mark.parametrize("when", ["@9999999999999", "@-9999999999999"])
def test_a_file_of_any_date_can_be_pulled(daemon: Daemon, lxc: Lxc, running: str, when: str) -> None:
    inside(lxc, running, f"echo content > /dev/old; touch -d {when} /dev/old")
    assert daemon.request("GET", url(running, "/dev/old")).body == b"content\n"
    assert daemon.request("HEAD", url(running, "/dev/old")).status == 200
