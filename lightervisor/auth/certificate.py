"""Certificates as trust sees them: their text, fingerprint, name and whether they are good enough."""

import base64
import binascii
import re
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lightervisor.errors import Invalid
from lightervisor.model.times import now

SMALLEST_RSA_BITS = 2048
SMALLEST_CURVE_BITS = 224
NO_LINES = {ord("\n"): None, ord("\r"): None}  # Go reads over them, and pylxd sends them


class ClientCertificate:
    """One X.509 certificate. Raises Invalid when the bytes (DER) are none."""

    def __init__(self, der: bytes) -> None:
        try:
            self.x509 = x509.load_der_x509_certificate(der)
            self.starts_at, self.ends_at = self.x509.not_valid_before_utc, self.x509.not_valid_after_utc
        except Exception as error:  # the library has many for what guests can send
            raise Invalid("certificate", cause="it cannot be read as an X.509 certificate") from error
        self.fingerprint = self.x509.fingerprint(hashes.SHA256()).hex()

    @property
    def pem(self) -> str:
        """The certificate as text, as LXD stores and shows it."""
        return self.x509.public_bytes(Encoding.PEM).decode()

    @property
    def common_name(self) -> str:
        """The subject's common name: `user@host` in certificates that `lxc` made."""
        try:
            names = self.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except Exception:  # noqa: BLE001  # as above: a name that cannot be read is none
            return ""
        return str(names[0].value) if names else ""

    def is_valid_at(self, moment: datetime) -> bool:
        """Whether the time is within the certificate's."""
        return self.starts_at <= moment <= self.ends_at

    def check(self) -> None:
        """Refuse what must not be trusted: other times than now, weak keys. Raises Invalid with LXD's texts."""
        if now() < self.starts_at:
            raise Invalid("certificate", text="The provided certificate isn't valid yet")
        if now() > self.ends_at:
            raise Invalid("certificate", text="The provided certificate is expired")
        try:
            key = self.x509.public_key()
        except Exception as error:  # as above
            raise Invalid("certificate", cause="its key is of an unknown kind") from error
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
            raise Invalid("certificate", text="RSA key is too weak (minimum of 2048bit)")
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < SMALLEST_CURVE_BITS:
            raise Invalid("certificate", cause="its elliptic curve is too weak")
        if isinstance(key, dsa.DSAPublicKey):
            raise Invalid("certificate", cause="DSA keys are too weak")


def of_base64(text: str) -> ClientCertificate:
    """A certificate as clients send it in JSON: base64 of DER, without PEM's first and last line. Raises Invalid."""
    try:
        der = base64.b64decode(text.translate(NO_LINES), validate=True)
    except (binascii.Error, ValueError) as error:
        good = re.match(r"[A-Za-z0-9+/\r\n]*", text)
        where = good.end() if good else 0
        where = where if where < len(text) else where // 4 * 4  # Go tells where the last group of four begins
        raise Invalid("certificate", text=f"illegal base64 data at input byte {where}") from error
    return ClientCertificate(der)


def of_pem(text: str) -> ClientCertificate:
    """A certificate as text. Raises Invalid."""
    try:
        found = x509.load_pem_x509_certificate(text.encode())
    except Exception as error:
        raise Invalid("certificate", cause="it is not a PEM certificate") from error
    return ClientCertificate(found.public_bytes(Encoding.DER))
