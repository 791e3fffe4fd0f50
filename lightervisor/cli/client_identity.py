"""The client's own certificate, made when a server must first recognise it. Source: LXD, client.crt and client.key."""

from __future__ import annotations

import datetime
import getpass
import os
import socket
from pathlib import Path

from lightervisor.cli import libraries
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_DAYS = 3650


def ensure(session: Session) -> None:
    """Make certificate and key unless they are there."""
    certificate, key = _places(session)
    if certificate.exists() and key.exists():
        return
    session.warn("Generating a client certificate. This may take a minute...")
    certificate_text, key_text = make()
    certificate.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    _write(key, key_text, 0o600)
    _write(certificate, certificate_text, 0o644)


def generate(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make certificate and key. Raises CommandError when there are some: servers may trust them."""
    _ = arguments, flags
    certificate, key = _places(session)
    if certificate.exists() and key.exists():
        raise CommandError("A client certificate is already present")
    ensure(session)


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the certificate as PEM; it is made when there is none."""
    _ = arguments, flags
    ensure(session)
    session.write(_places(session)[0].read_text())


def _places(session: Session) -> tuple[Path, Path]:
    """Where certificate and key are."""
    return Path(session.config.path("client.crt")), Path(session.config.path("client.key"))


def make() -> tuple[bytes, bytes]:
    """A self-signed certificate for a TLS client and its key, both PEM: P-384, ten years, as LXD makes them."""
    libraries.reach()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "linuxcontainers.org"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{getpass.getuser()}@{socket.gethostname()}"[:64]),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA384())
    )
    encoding = serialization.Encoding.PEM
    key_text = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return certificate.public_bytes(encoding), key_text


def _write(path: Path, text: bytes, mode: int) -> None:
    """Write a file; it is there whole or not at all, and never readable by more than `mode` says."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    partial.replace(path)
