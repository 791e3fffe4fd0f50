"""What a guest may try with the guest API: be somebody else, get to the host, take everything for itself.

Attack 30 of the list in the reliability notes; CVE-2025-54288, CVE-2026-12411.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import statistics
import time
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest, Launch
from tests.harness.processes import eventually

STRANGER = b"pid not in container?\n"
MONITOR = ("bash", "-c", 'exec -a "[lxc monitor] $0" "$@"')
PIDFD_GETFD = 438
FLOOD = """
kind, end, done = arguments[0], time.monotonic() + arguments[1], 0
UPGRADE = (b"GET /1.0/events HTTP/1.1\\r\\nHost: lxd\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
           b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
FIRST, MORE = {
    "connections": (b"", b""),
    "requests": (b"", b"GET /1.0/config HTTP/1.1\\r\\nHost: lxd\\r\\n\\r\\n"),
    "pipelined": (b"", b"GET / HTTP/1.1\\r\\nHost: lxd\\r\\n\\r\\n" * 2000),
    "headers": (b"GET / HTTP/1.1\\r\\n", b"X-A: " + b"a" * 4000 + b"\\r\\n"),
    "header": (b"GET / HTTP/1.1\\r\\nX-A: ", b"a" * 65536),
    "body": (b"PATCH /1.0 HTTP/1.1\\r\\nHost: lxd\\r\\nContent-Length: 1000000000\\r\\n\\r\\n", b"a" * 65536),
    "chunks": (b"PATCH /1.0 HTTP/1.1\\r\\nHost: lxd\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n",
               b"1000\\r\\n" + b"a" * 4096 + b"\\r\\n"),
    "body of a GET": (b"GET / HTTP/1.1\\r\\nHost: lxd\\r\\nContent-Length: 1000000000\\r\\n\\r\\n", b"a" * 65536),
    "no HTTP": (b"", b"\\0" * 65536),
    "a large frame": (UPGRADE, b"\\x81\\xff" + (1 << 30).to_bytes(8, "big") + b"a" * 60000),
    "pings": (UPGRADE, b"\\x89\\x80\\0\\0\\0\\0" * 10000),
}[kind]
while time.monotonic() < end:
    try:
        client = connect(0.5)
        done += 1
        FIRST and client.sendall(FIRST)
        while MORE and time.monotonic() < end:
            client.sendall(MORE)
            kind == "requests" and client.recv(4096)
        client.close()
    except OSError:
        pass
tell(done)
"""
KINDS = [
    "connections", "requests", "pipelined", "headers", "header", "body", "chunks", "body of a GET", "no HTTP",
    "a large frame", "pings",
]  # fmt: skip


@pytest.fixture(scope="module")
def memory_kib() -> int:
    """How much more memory the daemon may have after a flood than before."""
    return 48 << 10


def descriptors(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def test_nobody_asks_at_the_socket_of_another(daemon: Daemon, launch: Launch) -> None:
    victim, attacker = launch({"user.secret": "x"}), launch({"user.secret": "mine"})
    there = Guest(daemon, attacker.name, place=str(daemon.state / "devlxd" / victim.name))
    title = f"{daemon.state}/containers {victim.name}"
    for wrapper in ((), (*MONITOR, title)):
        answer = there.ask("/1.0/config/user.secret", wrapper=wrapper)
        assert (answer.status, answer.body) == (500, STRANGER)
        assert attacker.ask("/1.0/config/user.secret", wrapper=wrapper).body == b"mine"


def test_a_process_of_the_host_is_no_guest(daemon: Daemon, running: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.state / "devlxd" / running / "sock"))
        client.sendall(b"GET /1.0 HTTP/1.1\r\nHost: lxd\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.read()) == (500, STRANGER)


def test_credentials_that_are_sent_along_count_for_nothing(daemon: Daemon, running: str) -> None:
    code = """
import struct
client = connect()
client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
claims = [(socket.SOL_SOCKET, 2, struct.pack("iII", os.getpid(), os.getuid(), os.getgid()))]
client.sendmsg([b"GET /1.0 HTTP/1.1\\r\\nHost: lxd\\r\\n\\r\\n"], claims)
tell(client.recv(4096).decode())
"""
    assert "401 Unauthorized" in Guest(daemon, running).run(code, user=1000).ok().stdout
    assert "200 OK" in Guest(daemon, running).run(code).ok().stdout


@pytest.mark.parametrize("wrapper", [("unshare", "-r"), ("unshare", "-rpf"), ("unshare", "-p", "-f")])
def test_namespaces_inside_belong_to_the_container(daemon: Daemon, launch: Launch, wrapper: tuple[str, ...]) -> None:
    name = launch({"user.who": "me"}).name
    guest = Guest(daemon, name, place=str(daemon.state / "devlxd" / name))
    assert guest.ask("/1.0/config/user.who", wrapper=wrapper).body == b"me"


def test_root_of_a_namespace_inside_is_not_root(daemon: Daemon, running: str) -> None:
    guest = Guest(daemon, running, place=str(daemon.state / "devlxd" / running))
    user = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "unshare", "-r")
    assert guest.ask("/1.0", wrapper=user).status == 401


def test_a_connection_stays_who_it_was(daemon: Daemon, launch: Launch) -> None:
    guest = launch({"user.who": "me"})
    code = """
client = connect()
first = ask("GET", "/1.0/config/user.who", client=client)
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
second = ask("GET", "/1.0/config/user.who", client=client)
tell([first, second])
"""
    first, second = json.loads(guest.run(code).ok().stdout)
    assert (first[0], first[2]) == (second[0], second[2])


def test_a_connection_that_left_the_container_ends_with_it(daemon: Daemon, launch: Launch, lxc: Lxc) -> None:
    guest = launch({"user.who": "me"})
    inside = guest.start(
        "client = connect()\ntell([client.fileno(), ask('GET', '/1.0', client=client)])\ntime.sleep(60)"
    )
    try:
        assert inside.stdout
        number, (status, *_) = json.loads(inside.stdout.readline())
        assert status == 200
        inner = int(Path(f"/proc/{inside.pid}/task/{inside.pid}/children").read_text().split()[0])
        process = os.pidfd_open(inner)
        taken = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, number, 0)
        assert taken >= 0, os.strerror(ctypes.get_errno())
        os.close(process)
        with socket.socket(fileno=taken) as stolen:
            lxc("stop", "--force", guest.name).ok()
            lxc("start", guest.name).ok()
            stolen.settimeout(10)
            assert stolen.recv(100) == b""
    finally:
        inside.kill()
        inside.communicate()


@pytest.mark.parametrize(
    "line",
    [
        "GET http://lxd/1.0/instances HTTP/1.1",
        "GET /1.0/../1.0/instances HTTP/1.1",
        "GET /1.0/config/../../instances HTTP/1.1",
        "GET /1.0/config/%2e%2e/instances HTTP/1.1",
        "GET /1.0/instances?project=default HTTP/1.1",
        "POST /internal/shutdown HTTP/1.1",
        "PUT /1.0 HTTP/1.1",
        "CONNECT unix.socket:80 HTTP/1.1",
    ],
)
def test_nothing_leads_to_the_host_api(daemon: Daemon, running: str, line: str) -> None:
    code = """
client = connect()
client.sendall(f"{arguments[0]}\\r\\nHost: lxd\\r\\nConnection: close\\r\\n\\r\\n".encode())
tell(client.makefile("rb").read().decode())
"""
    answer = json.loads(Guest(daemon, running).run(code, line).ok().stdout)
    assert answer.split()[1] in ("400", "403", "404", "405"), answer


def test_a_privileged_container_reaches_its_own_socket_only(launch: Launch, lxc: Lxc) -> None:
    other, privileged = launch({"user.who": "other"}), launch({"security.privileged": "true", "user.who": "root"})
    assert privileged.ask("/1.0/config/user.who").body == b"root"
    assert lxc("exec", privileged.name, "--", "ls", "/dev/lxd").ok().stdout == "sock\n"
    lxc("exec", privileged.name, "--", "rm", "/dev/lxd/sock").failed("Read-only file system")
    lxc("exec", privileged.name, "--", "sh", "-c", "mount -o remount,rw /dev/lxd; rm -f /dev/lxd/sock; true").ok()
    assert other.ask("/1.0/config/user.who").body == b"other"


def test_a_link_in_place_of_the_directory_leads_nowhere_else(launch: Launch, lxc: Lxc) -> None:
    guest = launch({"security.devlxd": "false"})
    lxc("exec", guest.name, "--", "ln", "-s", "/../../../../etc", "/dev/lxd").ok()
    before = Path("/proc/self/mountinfo").read_text().count(" /etc ")
    lxc("config", "set", guest.name, "security.devlxd=true")
    assert Path("/proc/self/mountinfo").read_text().count(" /etc ") == before
    assert not Path("/etc/sock").exists()
    lxc("config", "set", guest.name, "security.devlxd=false")
    lxc("exec", guest.name, "--", "true").ok()


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_hurts_nobody_else(daemon: Daemon, launch: Launch, kind: str, memory_kib: int) -> None:
    attacker, other = launch(), launch({"user.who": "other"})
    memory, open_before, log = daemon.most_memory_kib(), descriptors(daemon), daemon.log.stat().st_size
    floods = [attacker.start(FLOOD, kind, 4) for _ in range(3)]
    try:
        waits: list[float] = []
        end = time.monotonic() + 3
        while time.monotonic() < end:
            begun = time.monotonic()
            assert daemon.request("GET", "/1.0/instances").status == 200
            waits.append(time.monotonic() - begun)
            time.sleep(0.02)
        assert other.ask("/1.0/config/user.who").body == b"other"
        assert descriptors(daemon) <= open_before + 40
    finally:
        for flood in floods:
            flood.communicate(timeout=60)
    assert statistics.median(waits) < 0.1, waits
    assert daemon.most_memory_kib() - memory < memory_kib
    assert "Traceback" not in daemon.log.read_bytes()[log:].decode(errors="replace")
    assert eventually(lambda: attacker.ask("/").status == 200, what="the attacker to be served again")
    eventually(lambda: descriptors(daemon) <= open_before + 5, timeout_s=30, what="its connections to end")


def test_a_user_inside_does_not_take_the_places_of_root(daemon: Daemon, running: str) -> None:
    guest = Guest(daemon, running)
    code = """
os.setgid(1000)
os.setuid(1000)
held = []
for _ in range(100):
    try:
        held.append(connect())
    except BlockingIOError:  # the queue is full
        break
tell(len(held))
time.sleep(60)
"""
    holder = guest.start(code)
    try:
        assert holder.stdout and json.loads(holder.stdout.readline()) >= 32
        assert guest.ask("/1.0").status == 200
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def test_who_connects_and_says_nothing_is_let_go(daemon: Daemon, running: str) -> None:
    code = """
held = [connect(40) for _ in range(32)]
held[0].sendall(b"GET / HTTP/1.1\\r\\nHost: l")
begun = time.monotonic()
tell([[one.recv(10) == b"" for one in held], time.monotonic() - begun])
"""
    ended, after_s = json.loads(Guest(daemon, running).run(code).ok().stdout)
    assert all(ended)
    assert after_s < 30
