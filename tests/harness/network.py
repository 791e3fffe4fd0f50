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


class Network:
    """The daemon's address on the network."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port, self.host, self.address = port, host, f"{host}:{port}"

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        """TLS as a client that shows this certificate and believes any server."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity is not None:
            with tempfile.TemporaryDirectory() as folder:
                context.load_cert_chain(*identity.write(Path(folder)))
        return context

    def request(
        self,
        identity: Identity | None,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context(identity), timeout=30)
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
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def on_network(daemon: Daemon) -> Iterator[Network]:
    """Let the daemon listen; afterwards it does not, nobody is trusted, no token is out and the keys are as before."""
    before = daemon.request("GET", "/1.0").metadata["config"]
    network = Network(free_port())
    answer = daemon.request("PATCH", "/1.0", {"config": {"core.https_address": network.address}})
    assert answer.status == 200, answer.error
    try:
        yield network
    finally:
        for url in daemon.request("GET", "/1.0/certificates").metadata:
            daemon.request("DELETE", url)
        for one in daemon.request("GET", "/1.0/operations?recursion=1").metadata.get("running", []):
            if one["class"] == "token":
                daemon.request("DELETE", f"/1.0/operations/{one['id']}")
        assert daemon.request("PUT", "/1.0", {"config": before}).status == 200
