"""TLS for the light transport: LXD's trust is a pinned certificate on each side, not a chain."""

from __future__ import annotations

import hashlib
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from lightervisor.client.light_http import Wire
from lightervisor.errors import Forbidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a DER certificate, as LXD shows it."""
    return hashlib.sha256(certificate).hexdigest()


def tls_connector(address: str, *, identity: tuple[Path, Path] | None, pinned: Path | None) -> Callable[[], Wire]:
    """Connects to an https address with our client certificate (certificate, key).

    A pinned server certificate (PEM) is the only one accepted; without one the system's authorities decide.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 8443

    def connect() -> Wire:
        context = ssl.create_default_context()
        if pinned is not None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity is not None and identity[0].exists():
            context.load_cert_chain(*identity)
        raw = socket.create_connection((host, port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(raw, server_hostname=host)
        if pinned is not None:
            _check_pin(secure, pinned, host)
        return Wire(secure, f"{host}:{port}" if ":" not in host else f"[{host}]:{port}", is_local=False)

    return connect


def server_certificate(address: str) -> str:
    """The certificate (PEM) a server shows, unverified: for the user to judge."""
    parts = urlsplit(address)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((parts.hostname or "", parts.port or 8443)) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as secure,
    ):
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")


def _check_pin(secure: ssl.SSLSocket, pinned: Path, host: str) -> None:
    shown = secure.getpeercert(binary_form=True) or b""
    if fingerprint(shown) != fingerprint(ssl.PEM_cert_to_DER_cert(pinned.read_text())):
        secure.close()
        raise Forbidden(
            "server certificate",
            host,
            cause="it is not the one that was accepted when the remote was added",
            remedy="if it was renewed on purpose, remove the remote and add it again",
        )
