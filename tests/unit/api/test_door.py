"""The door of the network: TLS with any client certificate, the PROXY header, and limits. With both event loops."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lightervisor.api import door as doors
from lightervisor.api import network_connection, peers
from lightervisor.api.door import Door
from lightervisor.api.network import Network
from lightervisor.api.tls import Context
from lightervisor.config.listen_address import ListenAddress
from lightervisor.daemon import server_certificate
from lightervisor.errors import HostError, Invalid
from tests.harness.certificates import DAY, Identity, make
from tests.harness.network import LOOPBACK
from tests.harness.network import Network as Client
from tests.harness.processes import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
ANYWHERE = ListenAddress(LOOPBACK, "0")


class World:
    """A door with a small server behind it, and who is trusted."""

    def __init__(self, state: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        made = server_certificate.ensure(state)
        self.trusted: list[bytes] = []
        self.proxies: list[doors.Network] = []
        self.door = Door(
            Context(made.certificate, made.key),
            is_trusted=lambda chain: chain[0] in self.trusted,
            trusted_proxies=lambda: self.proxies,
        )
        self.network = Network(self.door)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have it done by the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    @property
    def port(self) -> int:
        port = self.network.port
        assert port is not None
        return port

    @property
    def client(self) -> Client:
        return Client(self.port)

    def who(self, identity: Identity | None = None, *signers: Identity, first: bytes = b"") -> dict[str, object]:
        """What the server thinks of a client."""
        answer = self.client.request(identity, "GET", "/who", signers=signers, first=first)
        return answer.envelope


async def _who(request: web.Request) -> web.Response:
    chain = [hashlib.sha256(one).hexdigest() for one in peers.certificates(request)]
    return web.json_response({"address": peers.address(request), "chain": chain})


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@asynccontextmanager
async def _serving(world: World) -> AsyncGenerator[None, None]:
    app = web.Application(client_max_size=0)
    app.router.add_get("/who", _who)
    app.router.add_post("/echo", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    world.door.serve_with(runner.server)
    await world.network.listen(ANYWHERE)
    yield
    await world.network.close()
    await world.door.close()
    await runner.cleanup()


@pytest.fixture(params=LOOPS)
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Served by a thread, so that the tests can be plain clients."""
    loop = LOOPS[request.param]()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    found = World(tmp_path, loop)
    serving = _serving(found)
    found.do(serving.__aenter__())
    yield found
    found.do(serving.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def ended(peer: socket.socket) -> bool:
    """Whether the other side has closed; waits for that."""
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True


def test_a_client_without_a_certificate_is_served(world: World) -> None:
    found = world.who()
    assert found["chain"] == []
    assert str(found["address"]).startswith("127.0.0.1:")


@pytest.mark.parametrize("kind", ["own", "expired", "rsa", "signed"])
def test_any_certificate_is_taken_and_told(world: World, kind: str) -> None:
    authority = make("authority")
    made: dict[str, Identity] = {
        "own": make(),
        "expired": make(ends_in=-DAY / 2),
        "rsa": make(rsa_bits=2048),
        "signed": make(authority=authority),
    }
    signers: list[Identity] = []
    chain = [made[kind].fingerprint]
    if kind == "signed":
        signers.append(authority)
        chain.append(authority.fingerprint)
    assert world.who(made[kind], *signers)["chain"] == chain


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_bodies_survive(world: World, version: ssl.TLSVersion) -> None:
    body = bytes(range(256)) * 40_000

    def post() -> bytes:
        client = world.client.context()
        client.minimum_version = client.maximum_version = version
        with client.wrap_socket(world.client.connect()) as secure:
            head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            secure.sendall(head.encode() + body)
            received = b"".join(iter(lambda: secure.recv(1 << 16), b""))
        return received.partition(b"\r\n\r\n")[2]

    assert post() == body


def test_tls_before_1_2_is_refused(world: World) -> None:
    client = world.client.context()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    with pytest.warns(DeprecationWarning):
        client.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.wrap_socket(world.client.connect())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(world: World, version: ssl.TLSVersion) -> None:
    client = world.client.context()
    client.minimum_version = client.maximum_version = version

    def twice() -> bool | None:
        session, reused = None, None
        for _ in range(2):
            with client.wrap_socket(world.client.connect(), session=session) as secure:
                secure.sendall(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                list(iter(lambda: secure.recv(1 << 16), b""))
                session, reused = secure.session, secure.session_reused
        return reused

    assert twice() is False


def test_plain_http_is_told_so(world: World) -> None:
    def ask() -> bytes:
        with world.client.connect(b"GET / HTTP/1.1\r\n\r\n") as plain:
            return b"".join(iter(lambda: plain.recv(1 << 16), b""))

    text = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    assert ask() == text


@pytest.mark.parametrize("first", [b"\0" * 50, b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-OpenSSH\r\n"])
def test_what_is_no_tls_is_cut_off(world: World, first: bytes) -> None:
    with world.client.connect(first) as plain:

        def rest() -> bool:
            while plain.recv(1 << 16):  # an alert
                pass
            return True

        assert rest()
    assert world.who()["chain"] == []


def test_a_trusted_proxy_tells_the_client(world: World) -> None:
    world.proxies = [ipaddress.ip_network("127.0.0.0/8")]
    told = world.who(first=b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8443\r\n")
    assert told["address"] == "192.0.2.1:4242"
    told = world.who(first=b"PROXY TCP6 2001:db8::1 ::1 4242 8443\r\n")
    assert told["address"] == "[2001:db8::1]:4242"
    assert str(world.who()["address"]).startswith("127.0.0.1:")


def test_nobody_else_does(world: World) -> None:
    world.proxies = [ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("::1")]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        world.who(first=b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8443\r\n")


def test_a_silent_client_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HANDSHAKE_S", 0.1)
    hello = b"\x16\x03\x01\x02\x00\x01"
    for first in (b"", hello):
        with world.client.connect(first) as plain:
            assert ended(plain)


def test_one_that_never_asks_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_connection, "FIRST_REQUEST_S", 0.1)

    def wait() -> bool:
        with world.client.secure() as secure:
            secure.sendall(b"GET /who HTTP/1.1\r\nHost:")
            try:
                return secure.recv(1) == b""
            except (ssl.SSLError, ConnectionError):
                return True

    assert wait()


def test_one_address_may_not_take_every_handshake(world: World) -> None:
    crowd = world.door._shaking  # pyright: ignore[reportPrivateUsage]
    room = doors.HANDSHAKES // doors.SHARE_OF_ONE
    waiting = [world.client.connect() for _ in range(min(room, crowd.of_one))]
    try:
        with world.client.connect() as late:
            assert ended(late)
    finally:
        for plain in waiting:
            plain.close()
    eventually(lambda: not crowd.here, what="those that have gone to be forgotten")
    assert world.who()["chain"] == []


def test_an_ipv6_network_counts_as_one_host() -> None:
    crowd = doors.Crowd(8)
    assert [crowd.admit(host) for host in ("2001:db8::1", "2001:db8::2", "2001:db8::3")] == [True, True, False]
    assert [crowd.admit(host) for host in ("2001:db8:0:1::1", "192.0.2.1")] == [True, True]
    crowd.leave("2001:db8::2")
    assert crowd.admit("2001:db8::4")
    assert crowd.here == 4


def test_a_crowd_is_limited_as_a_whole() -> None:
    crowd = doors.Crowd(4)
    assert [crowd.admit(f"192.0.2.{last}") for last in range(5)] == [True, True, True, True, False]


def test_strangers_leave_room_for_the_trusted(world: World) -> None:
    ours, other = make(), make()
    world.trusted = [ours.der]
    world.door._strangers = doors.Crowd(4)  # pyright: ignore[reportPrivateUsage]  # of which one from each address
    with world.client.secure() as stranger:
        stranger.sendall(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stranger.recv(12) == b"HTTP/1.1 200"
        with pytest.raises((ConnectionError, ssl.SSLError, http.client.HTTPException)):
            world.who(other)
        assert world.who(ours)["chain"] == [ours.fingerprint]
    eventually(lambda: not world.door._strangers.here, what="the stranger to be forgotten")  # pyright: ignore[reportPrivateUsage]
    assert world.who(other)["chain"] == [other.fingerprint]


def test_listening_elsewhere_fails_and_nothing_has_changed(world: World) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Invalid, match=f"listen tcp {LOOPBACK}:{port}: bind: address already in use"):
            world.do(world.network.listen(ListenAddress(LOOPBACK, str(port))))
    assert world.who()["chain"] == []


def test_a_change_that_fails_later_is_taken_back(world: World) -> None:
    async def change() -> None:
        async with world.network.moved_to(None):
            raise KeyError

    with pytest.raises(KeyError):
        world.do(change())
    assert world.network.address == ANYWHERE
    assert world.who()["chain"] == []


def test_the_same_port_is_taken_from_one_address_to_all(world: World) -> None:
    port = str(world.port)
    world.do(world.network.listen(ListenAddress("", port)))
    assert world.who()["chain"] == []
    world.do(world.network.listen(ListenAddress(LOOPBACK, port)))
    assert world.who()["chain"] == []


def test_a_connection_outlives_the_listener(world: World) -> None:
    with world.client.secure() as secure:
        secure.sendall(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(1 << 16).startswith(b"HTTP/1.1 200")
        client = world.client
        world.do(world.network.listen(None))
        with pytest.raises(ConnectionRefusedError):
            client.connect()
        secure.sendall(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_a_bad_certificate_is_told(tmp_path: Path, text: str) -> None:
    made = server_certificate.ensure(tmp_path)
    made.certificate.write_text(text)
    with pytest.raises(HostError, match=r"server\.crt"):
        server_certificate.ensure(tmp_path)
    with pytest.raises(HostError, match="not a certificate and its key"):
        Context(made.certificate, made.key)


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    made = server_certificate.ensure(tmp_path)
    other = make().write(tmp_path, "other")
    with pytest.raises(HostError, match="not a certificate and its key"):
        Context(made.certificate, other[1])


def test_the_certificate_is_made_once_as_lxd_makes_it(tmp_path: Path) -> None:
    made = server_certificate.ensure(tmp_path)
    assert server_certificate.ensure(tmp_path) == made
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert made.key.read_text().startswith("-----BEGIN EC PRIVATE KEY-----")
    read = x509.load_pem_x509_certificate(made.pem.encode())
    key = read.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"
    assert read.not_valid_after_utc - read.not_valid_before_utc == 3650 * DAY
    assert read.fingerprint(hashes.SHA256()).hex() == made.fingerprint
