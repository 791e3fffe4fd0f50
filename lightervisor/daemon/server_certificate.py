"""The server's own certificate and key in the state directory: read, or made as LXD makes them.

Source: what LXD 5.0.2 writes: ECDSA P-384, signed by itself, for ten years.
"""

import datetime
import getpass
import ipaddress
import socket
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lightervisor.errors import HostError
from lightervisor.kernel.files import write_whole

LIFETIME = datetime.timedelta(days=3650)
_ORGANIZATION = "linuxcontainers.org"
_USAGES = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")


class ServerCertificate(NamedTuple):
    """The certificate's text, its fingerprint (sha256 of DER, hexadecimal), and both files."""

    pem: str
    fingerprint: str
    certificate: Path
    key: Path


def ensure(state: Path) -> ServerCertificate:
    """What lies in the state directory; made when nothing does. Raises HostError when it cannot be read."""
    certificate, key = state / "server.crt", state / "server.key"
    if not certificate.exists() or not key.exists():
        _make(certificate, key)
    pem = certificate.read_text()
    try:
        fingerprint = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()
    except ValueError as error:
        cause, remedy = f"it is not a certificate in PEM: {error}", f"mend {certificate}, or move it and its key away"
        raise HostError("server certificate", str(certificate), cause=cause, remedy=remedy) from error
    return ServerCertificate(pem, fingerprint, certificate, key)


def _make(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    host = socket.gethostname()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{getpass.getuser()}@{host}"[:64]),  # no longer in X.509
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    usages = dict.fromkeys((*_USAGES, "encipher_only", "decipher_only"), False)
    loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host), *loopback]), critical=False)
        .sign(private, hashes.SHA384())
    )
    # The certificate last: what is there without the other is made anew.
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    write_whole(key, secret.decode(), 0o600)
    write_whole(certificate, signed.public_bytes(Encoding.PEM).decode())
