"""SFTP sessions of tests, by our client and packet by packet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.client import sftp
from lightervisor.client import sftp_packets as packets
from lightervisor.client.light import Server
from lightervisor.client.light_http import Wire, unix_connector
from lightervisor.client.sftp import Answer, Ask, Session
from lightervisor.client.sftp_packets import string
from tests.harness.daemon import Daemon


@contextmanager
def session(daemon: Daemon, name: str, *, snapshot: str = "") -> Iterator[Session]:
    """A session in an instance, or in one of its snapshots."""
    server = Server(unix_connector(str(daemon.state / "unix.socket")), name="test")
    path = f"/1.0/instances/{name}" + (f"/snapshots/{snapshot}" if snapshot else "")
    found = sftp.connect(server, f"{path}/sftp")
    assert found is not None
    try:
        yield found
    finally:
        found.close()
        server.close()


def ask(session: Session, kind: int, *fields: bytes) -> Answer:
    """One request, whatever its answer."""

    def job() -> sftp.Job:
        yield Ask(kind, *fields, lenient=True)
        (answer,) = yield None
        return answer

    answer = session.run(job())
    assert isinstance(answer, Answer)
    return answer


def extended(session: Session, name: str, *fields: bytes) -> Answer:
    """One request beyond the protocol."""
    return ask(session, packets.EXTENDED, string(name.encode()), *fields)


def opened(session: Session, path: str, flags: int) -> bytes:
    """The field of a handle, of a file opened so. Fails the test when it is refused."""
    answer = ask(session, packets.OPEN, string(path.encode()), packets.u32(flags), packets.u32(0))
    assert answer.kind == packets.HANDLE, answer.text
    return string(answer.fields.bytes())


def begun_whole(session: Session, path: str) -> bytes:
    """The field of a handle, of a file that is to appear when it is whole."""
    answer = extended(session, packets.WHOLE_FILE, string(path.encode()), packets.Attributes().packed())
    assert answer.kind == packets.HANDLE, answer.text
    return string(answer.fields.bytes())


def raw(daemon: Daemon, name: str, first: bytes = b"") -> socket.socket:
    """A connection after the upgrade, for whatever bytes; `first` is sent at once."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(daemon.state / "unix.socket"))
    wire = Wire(connection, "x", is_local=True)
    headers = {"Upgrade": "sftp", "Connection": "Upgrade"}
    answer = wire.exchange("GET", f"/1.0/instances/{name}/sftp", headers, None)
    assert answer.status == 101
    connection.sendall(first)
    return connection


def processes_of(daemon: Daemon) -> list[str]:
    """The pids of the processes that serve this daemon's sessions; each is a child of some thread of it."""
    found: list[str] = []
    for thread in Path(f"/proc/{daemon.pid}/task").iterdir():
        children: list[str] = []
        with suppress(FileNotFoundError):  # the thread has ended
            children = (thread / "children").read_text().split()
        for pid in children:
            with suppress(FileNotFoundError):
                if b"lightervisor.sftp.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
    return found


def nameless_files(daemon: Daemon) -> int:
    """How many files without a name, which are not whole yet, the daemon and its sessions have open on disks."""
    found = 0
    for pid in [str(daemon.pid), *processes_of(daemon)]:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                link = str(descriptor.readlink())
                found += link.startswith("/") and "/#" in link and link.endswith(" (deleted)")
    return found
