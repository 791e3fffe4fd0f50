"""Certificates as text: what is shown of them and how they are sent."""

from __future__ import annotations

from lightervisor.cli import libraries
from lightervisor.cli.errors import CommandError


class Facts:
    """What a list shows of a certificate; times are RFC 3339 in UTC."""

    __slots__ = ("common_name", "ends_at", "starts_at")

    def __init__(self, common_name: str, starts_at: str, ends_at: str) -> None:
        self.common_name, self.starts_at, self.ends_at = common_name, starts_at, ends_at


def facts(text: str) -> Facts:
    """Read a certificate (PEM). Raises CommandError."""
    libraries.reach()
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError as error:
        raise CommandError("Invalid certificate file") from error
    dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    name = str(names[0].value) if names else ""
    return Facts(name, *(date.strftime("%Y-%m-%dT%H:%M:%SZ") for date in dates))


def base64_of(text: str) -> str:
    """A certificate as the API takes it: base64 of DER. Raises CommandError when the text (PEM) is none."""
    import base64
    import ssl

    facts(text)
    start = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", start) + len("-----END CERTIFICATE-----")
    return base64.b64encode(ssl.PEM_cert_to_DER_cert(text[start:end])).decode()
