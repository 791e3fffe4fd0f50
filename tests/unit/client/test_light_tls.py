"""TLS of the command line: through the environment's proxy, and what becomes of one that does not help."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.client import light_tls
from lightervisor.client.light_web import Web as Client
from lightervisor.errors import Unavailable
from tests.harness.web import Request, Web, serving

HOST = "images.example.org"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(HOST) as server:
        server.pages["/x"] = b"hello"
        (tmp_path / "server.pem").write_text(server.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        yield server


class Proxy:
    """A proxy for one connection: what it was told, and what it answers before it lets the two talk."""

    def __init__(self, answer: bytes, port: int) -> None:
        self.told = b""
        self._answer, self._port = answer, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, self._listener:
            while b"\r\n\r\n" not in self.told:
                self.told += client.recv(4096)
            client.sendall(self._answer)
            if b" 200 " not in self._answer:
                return
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join(timeout=5)

    def join(self) -> None:
        """Wait until it is done."""
        self._thread.join(timeout=10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def fetch(path: str = "x") -> bytes:
    client = Client(f"https://{HOST}")
    try:
        return client.content(client.get(path), limit_bytes=100)
    finally:
        client.close()


def test_the_environment_s_proxy_is_asked_for_the_host(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(b"HTTP/1.1 200 Connection established\r\n\r\n", web.port)
    monkeypatch.setenv("https_proxy", f"http://me:pass%20word@{proxy.place}")
    assert fetch() == b"hello"
    proxy.join()
    head, *fields = proxy.told.decode().split("\r\n")
    assert web.seen[0][2]["host"] == HOST
    assert head == f"CONNECT {HOST}:443 HTTP/1.1"
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:pass word').decode()}" in fields


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b""]
)
def test_a_proxy_that_refuses_is_told(web: Web, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    proxy = Proxy(answer, web.port)
    monkeypatch.setenv("HTTPS_PROXY", proxy.place)
    with pytest.raises(Unavailable, match=f'Get "https://{HOST}/x": Unable to connect to: {HOST}:443') as failure:
        fetch()
    proxy.join()
    status = answer.split()[1:2]
    expected = f"the proxy 127.0.0.1 answered with status {status[0].decode()}" if status else "closed the connection"
    assert expected in failure.value.message()


def test_a_proxy_is_not_used_for_this_machine_or_what_no_proxy_names(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    client = Client(web.url)
    assert client.content(client.get("x"), limit_bytes=100) == b"hello"
    client.close()
    monkeypatch.setenv("no_proxy", "example.org")
    with pytest.raises(Unavailable) as failure:
        fetch()
    assert "the proxy" not in failure.value.message()


def test_a_proxy_that_speaks_tls_itself_is_told_apart(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "https://127.0.0.1:1")
    with pytest.raises(Unavailable, match="is reached by http:// only"):
        fetch()


def test_a_silent_server_is_given_up(web: Web) -> None:
    gate = threading.Event()

    def wait(_request: Request) -> None:
        gate.wait(30)

    web.pages["/x"] = wait
    wire = light_tls.tls_connector(web.url, idle_s=0.2)()
    try:
        with pytest.raises(TimeoutError):
            wire.exchange("GET", "/x", {}, None)
    finally:
        wire.close()
        gate.set()
