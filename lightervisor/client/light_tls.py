"""TLS for the light transport: LXD's trust is a pinned certificate on each side, not a chain."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lightervisor.client.light_http import Wire
from lightervisor.errors import Forbidden, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 8443
_HTTPS = 443
"""What the Host header leaves out."""
_PATIENCE_S = 10
"""For a server to take the connection; what it then does may take any time."""
_NEW_CERTIFICATE = "remove the remote and add it again to accept the certificate"


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a DER certificate, as LXD shows it."""
    return hashlib.sha256(certificate).hexdigest()


def tls_connector(  # noqa: PLR0913 - each is one fact about the other side
    address: str,
    *,
    identity: tuple[Path, Path] | None = None,
    pinned: Path | None = None,
    authority: Path | None = None,
    idle_s: float | None = None,
    port: int = PORT,
    remedy: str = _NEW_CERTIFICATE,
) -> Callable[[], Wire]:
    """Connects to an https address with our client certificate (certificate, key), by the environment's proxy if any.

    A pinned server certificate (PEM) is the only one accepted; without one the system's authorities decide, and the one
    given, if its file is there. With `idle_s` the server may not be silent for longer (TimeoutError); `port` is the one
    that the address need not name. Connecting raises Unavailable when nobody answers, Forbidden for a certificate that
    is not accepted, with that remedy.
    """
    host, actual_port = _place(address, port)

    def connect() -> Wire:
        context = _context(authority)
        if pinned is not None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity is not None and identity[0].exists():
            context.load_cert_chain(*identity)
        try:
            secure = _dial(address, context, port)
        except ssl.SSLCertVerificationError as error:
            raise Forbidden(
                "server certificate",
                host,
                cause=error.verify_message.rstrip("."),
                remedy=remedy,
            ) from error
        if pinned is not None:
            _check_pin(secure, pinned, host)
        secure.settimeout(idle_s)
        name = f"[{host}]" if ":" in host else host
        return Wire(secure, name if actual_port == _HTTPS else f"{name}:{actual_port}", is_local=False)

    return connect


def is_trusted_by_authorities(address: str, authority: Path) -> bool:
    """Whether the system's authorities, or the one in a file, vouch for a server's certificate.

    Raises Unavailable when nobody answers.
    """
    try:
        _dial(address, _context(authority)).close()
    except ssl.SSLCertVerificationError:
        return False
    return True


def _context(authority: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority is not None and authority.exists():
        context.load_verify_locations(authority)
    return context


def server_certificate(address: str) -> str:
    """The certificate (PEM) a server shows, unverified: for the user to judge. Raises Unavailable."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _dial(address, context) as secure:
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")


def _place(address: str, port: int) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or port


def _dial(address: str, context: ssl.SSLContext, default_port: int = PORT) -> ssl.SSLSocket:
    host, port = _place(address, default_port)
    try:
        raw = _reach(address, host, port)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f'Get "{address}": Unable to connect to: {host}:{port} ({reason})'
        raise Unavailable("server", host, text=text) from error


def _reach(address: str, host: str, port: int) -> socket.socket:
    """A connection to a host, through the proxy that the environment names for it."""
    proxy = ""
    if any(name.lower() == "https_proxy" for name in os.environ):
        from lightervisor.client import proxies

        proxy = proxies.chosen({}).of(address)
    if not proxy:
        return socket.create_connection((host, port), _PATIENCE_S)
    return _through(proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _through(proxy: str, target: str) -> socket.socket:
    """A connection that an HTTP proxy made to `host:port`. Raises OSError when it does not."""
    parts = urlsplit(proxy)
    if parts.scheme != "http":
        raise OSError(f"the proxy {parts.hostname} is reached by http:// only")
    raw = socket.create_connection((parts.hostname or "", parts.port or 80), _PATIENCE_S)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(words.encode()).decode())
    try:
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        status, _ = Wire(raw, target, is_local=False).read_head()
    except BaseException:
        raw.close()
        raise
    if status != 200:
        raw.close()
        raise OSError(f"the proxy {parts.hostname} answered with status {status}")
    return raw


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
