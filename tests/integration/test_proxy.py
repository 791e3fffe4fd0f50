"""Proxies between the host and running containers, in both directions."""

from __future__ import annotations

import array
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import free_port
from tests.harness.processes import eventually
from tests.harness.servers import ask, listener, listener_at, serving, socket_in

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def box(module_lxc: Lxc, image: str) -> Iterator[str]:
    """A running container."""
    module_lxc("launch", image, "proxied").ok()
    yield "proxied"
    module_lxc("delete", "--force", "proxied").ok()


@pytest.fixture
def add(lxc: Lxc, box: str) -> Iterator[Callable[..., str]]:
    """Add a proxy; it is removed in the end."""
    added: list[str] = []

    def call(*options: str) -> str:
        device = f"p{len(added)}"
        lxc("config", "device", "add", box, device, "proxy", *options).ok()
        added.append(device)
        return device

    yield call
    for device in added:
        lxc("config", "device", "remove", box, device)


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def forwarders(daemon: Daemon) -> dict[int, str]:
    """The processes of this daemon's proxies, by pid, with their pid files."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any("forwarder.process" in word for word in words) and f"{daemon.state}/" in words[-2]:
                found[int(entry.name)] = words[-2]
    return found


def test_a_port_of_the_host_leads_inside(add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str) -> None:
    port, data = free_port(), os.urandom(3 << 20)
    with serving(socket_in(pid_of(daemon, box), lambda: listener((HERE, 8080)))):
        device = add(f"listen=tcp:{HERE}:{port}", f"connect=tcp:{HERE}:8080")
        assert ask(socket.create_connection((HERE, port)), data) == data
        lxc("config", "device", "remove", box, device).ok()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port))
    assert forwarders(daemon) == {}


def test_a_port_inside_leads_to_the_host(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    pid = pid_of(daemon, box)
    with serving(listener((HERE, 0))) as server:
        add(f"listen=tcp:{HERE}:80", f"connect=tcp:{HERE}:{server.getsockname()[1]}", "bind=instance")
        assert ask(socket_in(pid, lambda: socket.create_connection((HERE, 80))), b"out") == b"out"


def test_it_is_there_after_a_restart_and_a_reboot_of_the_guest(
    add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str
) -> None:
    port = free_port()
    add(f"listen=tcp:{HERE}:{port}", f"connect=tcp:{HERE}:8080")

    def answers() -> bool:
        try:
            with serving(socket_in(pid_of(daemon, box), lambda: listener((HERE, 8080)))):
                return ask(socket.create_connection((HERE, port)), b"again") == b"again"
        except OSError:
            return False

    lxc("restart", "--force", box).ok()
    assert answers()
    before = pid_of(daemon, box)
    lxc("exec", box, "--", "reboot", "-f")
    eventually(lambda: pid_of(daemon, box) not in (before, 0, -1), what="another init")
    eventually(answers, what="the proxy of the new init")
    lxc("stop", "--force", box).ok()
    assert forwarders(daemon) == {}
    lxc("start", box).ok()
    assert answers()


def test_a_restart_of_the_daemon_cuts_no_connection(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    port = free_port()
    with serving(socket_in(pid_of(daemon, box), lambda: listener((HERE, 8080)))):
        add(f"listen=tcp:{HERE}:{port}", f"connect=tcp:{HERE}:8080")
        before = forwarders(daemon)
        with socket.create_connection((HERE, port)) as connection:
            daemon.restart()
            connection.sendall(b"still here")
            assert connection.recv(100) == b"still here"
        assert forwarders(daemon) == before
        daemon.kill()
        daemon.start()
        assert forwarders(daemon) == before
        (pid,) = before
        os.kill(pid, signal.SIGKILL)
        daemon.restart()
        assert len(forwarders(daemon)) == 1, "what has died is there again"
        assert ask(socket.create_connection((HERE, port)), b"new") == b"new"


def test_lists_and_ranges_of_ports(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    pid, first = pid_of(daemon, box), free_port()
    with (
        serving(socket_in(pid, lambda: listener((HERE, 7000))), lambda one: one.sendall(b"7000") or one.close()),
        serving(socket_in(pid, lambda: listener((HERE, 7002))), lambda one: one.sendall(b"7002") or one.close()),
    ):
        add(f"listen=tcp:{HERE}:{first},{first + 1}-{first + 2}", f"connect=tcp:{HERE}:7000-7001,7002")
        assert ask(socket.create_connection((HERE, first)), b"") == b"7000"
        assert ask(socket.create_connection((HERE, first + 2)), b"") == b"7002"
        # Nobody listens at 7001: the connection ends.
        assert ask(socket.create_connection((HERE, first + 1)), b"") == b""


def test_ten_thousand_ports_take_a_second_and_one_small_process(
    add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str
) -> None:
    with serving(socket_in(pid_of(daemon, box), lambda: listener((HERE, 9000)))):
        start = time.monotonic()
        device = add(f"listen=tcp:{HERE}:20000-29999", f"connect=tcp:{HERE}:9000", "bind=host")
        took_s = time.monotonic() - start
        for port in (20000, 24567, 29999):
            assert ask(socket.create_connection((HERE, port)), b"range") == b"range"
        (pid,) = forwarders(daemon)
        private_kib = sum(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Private_")
        )
        lxc("config", "device", "remove", box, device).ok()
    assert took_s < 1.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), f"{took_s:.2f} s"
    assert private_kib < 16 << 10


def test_datagrams_find_their_way_back(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    port = free_port()
    server = socket_in(pid_of(daemon, box), lambda: listener((HERE, 5353), kind=socket.SOCK_DGRAM))

    def answer() -> None:
        for _ in range(4):
            data, peer = server.recvfrom(1 << 16)
            server.sendto(data.upper(), peer)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    add(f"listen=udp:{HERE}:{port}", f"connect=udp:{HERE}:5353")
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        for client, said in ((one, b"one"), (other, b"other"), (one, b"x" * 60000), (other, b"")):
            client.settimeout(60)
            client.sendto(said, (HERE, port))
            assert client.recv(1 << 16) == said.upper()
    thread.join(10)
    server.close()


def test_unix_sockets_by_path_have_an_owner_and_a_mode(
    add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str
) -> None:
    outer = daemon.state / "outer"
    with serving(listener_at(pid_of(daemon, box), "/tmp/inner")):
        device = add(f"listen=unix:{outer}", "connect=unix:/tmp/inner", "uid=12", "gid=34", "mode=0620")
        found = outer.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12, 34, 0o620)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(outer))
        assert ask(client, b"through") == b"through"
        lxc("config", "device", "remove", box, device).ok()
    assert not outer.exists()
    lxc.run(box, "rm", "/tmp/inner")


def test_a_unix_socket_inside_belongs_to_users_inside(
    add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str
) -> None:
    with serving(listener(str(daemon.state / "target"))):
        listen = "listen=unix:/tmp/made"
        device = add(listen, f"connect=unix:{daemon.state}/target", "bind=container", "uid=7", "gid=8", "mode=0600")
        assert lxc.run(box, "stat", "-c", "%F %u:%g %a", "/tmp/made").stdout == "socket 7:8 600\n"
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"/proc/{pid_of(daemon, box)}/root/tmp/made")
        assert ask(client, b"x") == b"x"
        lxc("config", "device", "remove", box, device).ok()
        assert lxc.run(box, "ls", "/tmp/made").status != 0
    (daemon.state / "target").unlink()


def test_abstract_names_are_of_the_side_that_has_them(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    pid = pid_of(daemon, box)
    names = [f"\0lv-{daemon.bridge}-{number}".encode() for number in range(2)]
    with serving(socket_in(pid, lambda: listener(names[0]))):
        add(f"listen=unix:@{names[1][1:].decode()}", f"connect=unix:@{names[0][1:].decode()}")
        client = socket.socket(socket.AF_UNIX)
        client.connect(names[1])
        assert ask(client, b"abstract") == b"abstract"
        with socket.socket(socket.AF_UNIX) as other, pytest.raises(ConnectionRefusedError):
            other.connect(names[0])


def test_descriptors_go_through(add: Callable[..., str], lxc: Lxc, daemon: Daemon, box: str) -> None:
    """As Wayland and X11 hand on theirs."""
    got: list[bytes] = []

    def read_what_is_given(connection: socket.socket) -> None:
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 4)
            got.extend(os.pread(descriptor, 100, 0) for descriptor in fds)
            for descriptor in fds:
                os.close(descriptor)
            connection.sendall(b"read")

    note = daemon.state / "given"
    note.write_bytes(b"from a descriptor")
    with serving(listener_at(pid_of(daemon, box), "/tmp/wayland"), read_what_is_given):
        add(f"listen=unix:{daemon.state}/wayland", "connect=unix:/tmp/wayland")
        with socket.socket(socket.AF_UNIX) as client, note.open("rb") as file:
            client.settimeout(60)
            client.connect(f"{daemon.state}/wayland")
            client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()] * 2))])
            assert client.recv(10) == b"read"
    assert got == [b"from a descriptor"] * 2
    lxc.run(box, "rm", "/tmp/wayland")
    note.unlink()


def test_the_proxy_protocol_tells_who_connected(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    port = free_port()
    with serving(socket_in(pid_of(daemon, box), lambda: listener((HERE, 8080)))):
        add(f"listen=tcp:{HERE}:{port}", f"connect=tcp:{HERE}:8080", "proxy_protocol=true")
        client = socket.create_connection((HERE, port))
        own = client.getsockname()[1]
        assert ask(client, b"GET") == f"PROXY TCP4 {HERE} {HERE} {own} {port}\r\nGET".encode()


def test_the_other_side_sees_the_identity_asked_for(add: Callable[..., str], daemon: Daemon, box: str) -> None:
    import struct

    def tell(connection: socket.socket) -> None:
        with connection:
            said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            connection.sendall("{1}:{2}".format(*struct.unpack("3i", said)).encode())

    target = daemon.state / "whoami"
    with serving(listener(str(target)), tell):
        target.chmod(0o666)
        add(f"listen=tcp:{HERE}:81", f"connect=unix:{target}", "bind=instance", "security.uid=65", "security.gid=66")
        connection = socket_in(pid_of(daemon, box), lambda: socket.create_connection((HERE, 81)))
        assert ask(connection, b"") == b"65:66"
    target.unlink()
