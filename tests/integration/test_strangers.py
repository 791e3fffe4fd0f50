"""What strangers and clients that lose their trust try over the network: to stay, to fill memory, to forge lines."""

from __future__ import annotations

import base64
import io
import os
import socket
import ssl
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.certificates import Identity, make
from tests.harness.daemon import Daemon
from tests.harness.network import Network, on_network
from tests.harness.processes import eventually

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MIB = 1 << 20


@pytest.fixture
def network(daemon: Daemon) -> Iterator[Network]:
    with on_network(daemon) as found:
        yield found


def trust(daemon: Daemon, identity: Identity, **more: object) -> None:
    body = {"type": "client", "certificate": base64.b64encode(identity.der).decode(), **more}
    assert daemon.request("POST", "/1.0/certificates", body).status == 201


def read_all(secure: ssl.SSLSocket) -> bytes:
    received = b""
    while block := secure.recv(1 << 16):
        received += block
    return received


def memory_kib(daemon: Daemon) -> int:
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_one_whose_trust_is_taken_back_cannot_finish_what_it_began(daemon: Daemon, network: Network) -> None:
    ours, spare = make(), make()
    trust(daemon, ours)
    body = b'{"type": "client", "certificate": "%s"}' % base64.b64encode(spare.der)
    head = b"POST /1.0/certificates HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with network.secure(ours) as secure:
        secure.sendall(head + body[:10])
        eventually(lambda: "POST /1.0/certificates by " + ours.fingerprint in daemon.tail(), what="it")
        assert daemon.request("DELETE", f"/1.0/certificates/{ours.fingerprint}").status == 200
        secure.sendall(body[10:])
        assert read_all(secure).startswith(b"HTTP/1.1 403")
    assert daemon.request("GET", "/1.0/certificates").metadata == []


def test_a_listener_cannot_fill_the_memory_with_one_message(daemon: Daemon, network: Network) -> None:
    ours = make()
    trust(daemon, ours, restricted=True, projects=["default"])
    with network.secure(ours) as secure:
        secure.sendall(b"GET /1.0/events HTTP/1.1\r\nHost: x\r\n" + UPGRADE)
        assert secure.recv(1 << 16).startswith(b"HTTP/1.1 101")
        before = memory_kib(daemon)
        with suppress(OSError):
            secure.sendall(b"\x82\xff" + (1 << 30).to_bytes(8, "big") + bytes(4))
            for _ in range(256):
                secure.sendall(bytes(MIB))
        assert memory_kib(daemon) - before < 64 << 10


def public_image(daemon: Daemon) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in (
            ("metadata.yaml", b"architecture: x86_64\ncreation_date: 1700000000\n"),
            ("rootfs/large", os.urandom(32 * MIB)),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    started = daemon.request("POST", "/1.0/images", packed.getvalue(), headers={"X-LXD-public": "1"})
    done = daemon.request("GET", f"{started.envelope['operation']}/wait").metadata
    return str(done["metadata"]["fingerprint"])


def test_guests_that_do_not_read_a_public_image_take_little_memory(daemon: Daemon, network: Network) -> None:
    fingerprint, waiting = public_image(daemon), list[ssl.SSLSocket]()
    before = memory_kib(daemon)
    try:
        for _ in range(100):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect((network.host, network.port))
            secure = network.context().wrap_socket(plain)
            waiting.append(secure)
            secure.sendall(b"GET /1.0/images/%s/export HTTP/1.1\r\nHost: x\r\n\r\n" % fingerprint.encode())
            assert secure.recv(1).startswith(b"H")
        assert memory_kib(daemon) - before < 100 * 2 * 1024
    finally:
        for secure in waiting:
            secure.close()
        daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def test_a_stranger_writes_no_lines_into_the_log(daemon: Daemon, network: Network) -> None:
    network.request(None, "GET", "/1.0/a%0a2026-01-01%20ERROR%20forged%1b[31m")
    assert "\\n2026-01-01 ERROR forged\\x1b[31m" in daemon.tail()


def test_a_page_of_the_same_host_without_tls_is_another_site(daemon: Daemon, network: Network) -> None:
    ours = make()
    trust(daemon, ours)
    for scheme, status in (("http", 403), ("https", 200)):
        headers = {"Origin": f"{scheme}://{network.address}"}
        assert network.request(ours, "PATCH", "/1.0", {"config": {}}, headers=headers).status == status
