"""The daemon as the network sees it: requests over TLS, with a client certificate or without."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.harness.certificates import Identity
from tests.harness.daemon import Answer, Daemon

LOOPBACK = "127.0.0.1"


class Network:
    """The daemon's address on the network."""

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.port, self.host, self.address = port, host, f"{host}:{port}"

    def context(self, identity: Identity | None = None, *signers: Identity) -> ssl.SSLContext:
        """TLS as a client that shows this certificate, those that signed it too, and believes any server."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity is not None:
            with tempfile.TemporaryDirectory() as folder:
                certificate, key = identity.write(Path(folder))
                certificate.write_text("".join(one.pem for one in (identity, *signers)))
                context.load_cert_chain(certificate, key)
        return context

    def connect(self, first: bytes = b"") -> socket.socket:
        """A plain connection on which these bytes were sent."""
        plain = socket.create_connection((self.host, self.port), timeout=30)
        plain.sendall(first)
        return plain

    def secure(self, identity: Identity | None = None, *signers: Identity, first: bytes = b"") -> ssl.SSLSocket:
        """A connection after the handshake; `first` is sent before that, as a proxy does."""
        plain = self.connect(first)
        try:
            return self.context(identity, *signers).wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def request(
        self,
        identity: Identity | None,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        signers: tuple[Identity, ...] = (),
        first: bytes = b"",
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON. `signers` and `first` as for `secure`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPSConnection(self.host, self.port)
        connection.sock = self.secure(identity, *signers, first=first)
        try:
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def fingerprint(self) -> str:
        """The sha256 of the certificate that the daemon shows."""
        import hashlib

        pem = ssl.get_server_certificate((self.host, self.port))
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listen(daemon: Daemon, address: str = f"{LOOPBACK}:0") -> Network:
    """Have the daemon listen there."""
    answer = daemon.request("PATCH", "/1.0", {"config": {"core.https_address": address}})
    assert answer.status == 200, answer.error
    shown = daemon.request("GET", "/1.0").metadata["environment"]["addresses"]
    return Network(int(shown[0].rpartition(":")[2]))


@contextmanager
def on_network(daemon: Daemon) -> Iterator[Network]:
    """Let the daemon listen; afterwards it does not, nobody is trusted, no token is out and the keys are as before."""
    before = daemon.request("GET", "/1.0").metadata["config"]
    network = listen(daemon, f"{LOOPBACK}:{free_port()}")
    try:
        yield network
    finally:
        for url in daemon.request("GET", "/1.0/certificates").metadata:
            daemon.request("DELETE", url)
        for one in daemon.request("GET", "/1.0/operations?recursion=1").metadata.get("running", []):
            if one["class"] == "token":
                daemon.request("DELETE", f"/1.0/operations/{one['id']}")
        assert daemon.request("PUT", "/1.0", {"config": before}).status == 200
