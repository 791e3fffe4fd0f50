"""A client of a daemon's network listener: it trusts any server, and shows a certificate if it has one."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from tests.harness.daemon import Answer, Daemon

LOOPBACK = "127.0.0.1"


def context(files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """TLS that looks at nothing the server shows; `files` are the client's certificate and key."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    if files:
        found.load_cert_chain(*files)
    return found


def listen(daemon: Daemon, address: str = f"{LOOPBACK}:0") -> int:
    """Have the daemon listen there; the port."""
    answer = daemon.request("PATCH", "/1.0", {"config": {"core.https_address": address}})
    assert answer.status == 200, answer.body
    return int(daemon.request("GET", "/1.0").metadata["environment"]["addresses"][0].rpartition(":")[2])


def connect(port: int, first: bytes = b"") -> socket.socket:
    """A plain connection that has sent these bytes."""
    found = socket.create_connection((LOOPBACK, port), timeout=20)
    found.sendall(first)
    return found


def request(
    port: int,
    method: str,
    path: str,
    body: object = None,
    *,
    files: tuple[Path, Path] | None = None,
    headers: Mapping[str, str] | None = None,
    first: bytes = b"",
) -> Answer:
    """One request on a connection of its own; `first` is sent before TLS begins."""
    plain = connect(port, first)
    connection = http.client.HTTPConnection(LOOPBACK, port)
    connection.sock = context(files).wrap_socket(plain)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()
