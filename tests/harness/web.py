"""A small HTTPS server on loopback, whose pages are bytes or functions that misbehave as a test wants."""

from __future__ import annotations

import datetime
import ipaddress
import re
import secrets
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Page = bytes | Path | Callable[["Request"], None]
BLOCK = 1 << 20


class Pair(NamedTuple):
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


def self_signed(*others: str) -> Pair:
    """A new self-signed certificate for loopback and other names."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: of several authorities of one name OpenSSL looks at one only.
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test server {secrets.token_hex(8)}")])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    names += [x509.DNSName(name) for name in others]
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(made.public_bytes(serialization.Encoding.PEM).decode(), secret.decode())


class Request(BaseHTTPRequestHandler):
    """One request; a page that is a function writes its answer here."""

    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *_args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer from the pages."""
        with self.server.guard:
            self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            page = self.server.pages.get(self.path, self.server.pages.get(self.path.partition("?")[0]))
        if page is None:
            self.answer(404, b"no such page")
        elif isinstance(page, bytes):
            self.file(page)
        elif isinstance(page, Path):
            self.file(page.read_bytes())
        else:
            page(self)

    do_HEAD = do_POST = do_GET  # names of the standard library

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        self.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    @property
    def offset(self) -> int:
        """Where the wanted range begins."""
        found = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def file(self, data: bytes) -> None:
        """A file, or the end of it that is asked for."""
        start = self.offset
        if start >= len(data) > 0:
            self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        elif start:
            self.answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        else:
            self.answer(200, data)

    def cut(self, data: bytes, after: int) -> None:
        """Promise what is wanted of a file, send a part of it, and hang up."""
        rest = data[self.offset :]
        span = {"Content-Range": f"bytes {self.offset}-{len(data) - 1}/{len(data)}"} if self.offset else {}
        self.head(206 if self.offset else 200, {"Content-Length": str(len(rest)), **span})
        self.wfile.write(rest[:after])
        self.wfile.flush()
        self.close_connection = True

    def redirect(self, target: str) -> None:
        """Somewhere else."""
        self.answer(302, b"", {"Location": target})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, pair: Pair) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.guard = threading.Lock()
        self.pages: dict[str, Page] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(pair.key + pair.certificate)
            file.flush()
            self._context.load_cert_chain(file.name)

    def finish_request(self, request: object, client_address: object) -> None:
        """The handshake is the thread's, so that one client cannot hold up the others."""
        try:
            with self._context.wrap_socket(request, server_side=True) as secured:  # pyright: ignore[reportArgumentType]
                Request(secured, client_address, self)  # pyright: ignore[reportArgumentType]
        except OSError:
            return  # the client went away, or refused our certificate

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Web:
    """A running server: change its `pages` at any time, read what it was asked."""

    def __init__(self, server: _Server, pair: Pair) -> None:
        self._server, self.certificate = server, pair.certificate
        self.pages = server.pages
        self.url = f"https://127.0.0.1:{server.server_address[1]}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def seen(self) -> list[tuple[str, str, dict[str, str]]]:
        """Method, path and headers of every request, in order."""
        with self._server.guard:
            return list(self._server.seen)

    def forget(self) -> None:
        """Begin to count anew."""
        with self._server.guard:
            self._server.seen.clear()


@contextmanager
def serving(*others: str) -> Iterator[Web]:
    """A server on a free port of loopback, for as long as the context lasts; its certificate is for these names too."""
    pair = self_signed(*others)
    server = _Server(pair)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Web(server, pair)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
