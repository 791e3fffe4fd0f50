"""PKI mode: with `server.ca` in the state directory, only clients that this authority signed are accepted.

`ca.crl` beside it names those that it took back. Both are read again when they change. Source: LXD, PKI mode.
"""

import logging
from pathlib import Path

from cryptography import x509

from lightervisor.auth.certificate import ClientCertificate

log = logging.getLogger(__name__)


class Authority:
    """The authority of one state directory, which most have none of."""

    def __init__(self, folder: Path) -> None:
        self._ca_file, self._crl_file = folder / "server.ca", folder / "ca.crl"
        self._read_as: tuple[object, object] = (None, None)
        self._ca: x509.Certificate | None = None
        self._crl: x509.CertificateRevocationList | None = None
        self._is_broken = False
        self._answers: dict[str, bool] = {}

    @property
    def rules(self) -> bool:
        """Whether there is an authority, readable or not."""
        self._refresh()
        return self._ca is not None or self._is_broken

    def vouches_for(self, certificate: ClientCertificate) -> bool:
        """Whether the authority signed it and has not taken it back. False for all when a file cannot be read."""
        self._refresh()
        if certificate.fingerprint not in self._answers:
            if len(self._answers) >= 1024:  # guests may show any number of certificates
                self._answers.clear()
            self._answers[certificate.fingerprint] = self._judge(certificate)
        return self._answers[certificate.fingerprint]

    def _judge(self, certificate: ClientCertificate) -> bool:
        if self._ca is None or self._is_broken:
            return False
        try:
            certificate.x509.verify_directly_issued_by(self._ca)
        except Exception:  # noqa: BLE001  # the library has many for what guests can send
            return False
        if self._crl is None:
            return True
        return self._crl.get_revoked_certificate_by_serial_number(certificate.x509.serial_number) is None

    def _refresh(self) -> None:
        stamps = _stamp(self._ca_file), _stamp(self._crl_file)
        if stamps == self._read_as:
            return
        self._read_as, self._answers = stamps, {}
        self._ca = self._crl = None
        self._is_broken = False
        try:
            if stamps[0] is not None:
                self._ca = x509.load_pem_x509_certificate(self._ca_file.read_bytes())
            if self._ca is not None and stamps[1] is not None:
                self._crl = x509.load_pem_x509_crl(self._crl_file.read_bytes())
                if not self._crl.is_signature_valid(self._ca.public_key()):  # pyright: ignore[reportArgumentType]
                    raise ValueError(f"{self._crl_file.name} is not signed by {self._ca_file.name}")
        except (OSError, ValueError, TypeError) as error:
            self._is_broken = True
            log.error("no client is trusted until %s can be read: %s", self._ca_file, error)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
