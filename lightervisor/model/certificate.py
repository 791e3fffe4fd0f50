"""Wire structs of certificate. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import Struct

from lightervisor.model.times import ZERO_TIME


class CertificatePut(Struct, frozen=True, kw_only=True):
    """LXD's CertificatePut."""

    name: str = ""
    type: str = ""
    restricted: bool = False
    projects: list[str] = []
    certificate: str = ""


class CertificatesPost(CertificatePut, frozen=True, kw_only=True):
    """LXD's CertificatesPost; `trust_token` is what Incus and later LXD's clients send a token as."""

    password: str = ""
    trust_token: str = ""
    token: bool = False


class Certificate(CertificatePut, frozen=True, kw_only=True):
    """LXD's Certificate."""

    fingerprint: str = ""


class CertificateAddToken(Struct, frozen=True, kw_only=True):
    """LXD's CertificateAddToken."""

    client_name: str = ""
    fingerprint: str = ""
    addresses: list[str] = []
    secret: str = ""
    expires_at: datetime = ZERO_TIME
