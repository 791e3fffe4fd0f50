"""The trust store: the clients that this server knows, and how that changes. Source: LXD, /1.0/certificates."""

import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager

import msgspec

from lightervisor.auth import certificate as certificates
from lightervisor.auth.authority import Authority
from lightervisor.auth.caller import Caller, refused
from lightervisor.auth.certificate import ClientCertificate
from lightervisor.config.types import is_true
from lightervisor.db.certificates import CertificateRow, CertificateRows
from lightervisor.errors import Forbidden, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.model.certificate import Certificate, CertificatePut
from lightervisor.model.event import EventLifecycleRequestor

CLIENT, METRICS = "client", "metrics"
TRUSTS_AUTHORITY = "core.trust_ca_certificates"
LONGEST_NAME = 255
THE_ONLY_PROJECT = "default"


class TrustStore:
    """All trusted certificates. What is read with every request is kept in memory; a change is on disk first."""

    def __init__(
        self, rows: CertificateRows, authority: Authority, events: Events, settings: Callable[[], Mapping[str, str]]
    ) -> None:
        """`settings` are the server's keys as they are stored."""
        self._rows, self.authority, self._events, self._settings = rows, authority, events, settings
        self._known: dict[str, CertificateRow] | None = None
        self._watched: dict[str, set[Callable[[], None]]] = {}

    @property
    def trusts_authority(self) -> bool:
        """Whether all that the authority signed are administrators, but for those whose entry says less."""
        return self.authority.rules and is_true(self._settings().get(TRUSTS_AUTHORITY))

    def find(self, fingerprint: str) -> CertificateRow | None:
        """The entry with this whole fingerprint, or None."""
        if self._known is None:
            self._known = {row.fingerprint: row for row in self._rows.all()}
        return self._known.get(fingerprint)

    def list(self, caller: Caller) -> list[Certificate]:
        """What a caller may see, by fingerprint: everything, or its own entry."""
        seen = (row for row in self._rows.all() if caller.is_admin or row.fingerprint == caller.fingerprint)
        return [_shown(row) for row in seen]

    def get(self, caller: Caller, prefix: str) -> Certificate:
        """One certificate by the start of its fingerprint. Raises NotFound, Invalid when several start so."""
        found = [one for one in self.list(caller) if prefix and one.fingerprint.startswith(prefix.lower())]
        if not found:
            raise NotFound("certificate", prefix)
        if len(found) > 1:
            raise Invalid("certificate", prefix, cause="several fingerprints start like this")
        return found[0]

    async def add(
        self, wanted: CertificatePut, certificate: ClientCertificate, requestor: EventLifecycleRequestor
    ) -> Certificate:
        """Trust a certificate as `wanted` says. Raises Invalid, Conflict; Forbidden for one not of the authority's."""
        check_type(wanted.type)
        row = CertificateRow(
            fingerprint=certificate.fingerprint,
            type=wanted.type,
            name=_name(wanted.name or certificate.common_name),
            certificate=certificate.pem,
            restricted=wanted.restricted,
            projects=check_projects(wanted.projects),
        )
        self._check(certificate)
        await self._rows.add(row)
        self._known = None
        self._tell("created", row.fingerprint, requestor)
        return _shown(row)

    async def replace(self, caller: Caller, present: Certificate, wanted: CertificatePut) -> None:
        """Change an entry. One who is restricted may renew its own certificate and nothing else (CVE-2026-34179).

        An empty certificate is the present one. Raises Forbidden with LXD's texts, Invalid, Conflict.
        """
        if wanted.type != present.type:
            raise Forbidden("certificate", text="The certificate type cannot be changed")
        if not caller.is_admin:
            if present.fingerprint != caller.fingerprint:
                raise refused()
            if (wanted.name, wanted.restricted, list(wanted.projects)) != (
                present.name, present.restricted, list(present.projects)
            ):  # fmt: skip
                raise Forbidden("certificate", text="Only the certificate can be changed")
        certificate = certificates.of_pem(wanted.certificate or present.certificate)
        if certificate.fingerprint != present.fingerprint:
            self._refuse_to_lose_limits(caller, present)
            self._check(certificate)
        row = CertificateRow(
            fingerprint=certificate.fingerprint,
            type=present.type,
            name=_name(wanted.name),
            certificate=certificate.pem,
            restricted=wanted.restricted,
            projects=check_projects(wanted.projects),
        )
        await self._rows.replace(_row(present), row)
        self._known = None
        self._tell("updated", row.fingerprint, caller.requestor)
        if _shown(msgspec.structs.replace(row, name=present.name)) != present:
            self._cut_off(present.fingerprint)

    async def delete(self, caller: Caller, present: Certificate) -> None:
        """Trust a client no longer; its streams end.

        Raises Forbidden for another's but to administrators, Invalid when the client would be trusted more.
        """
        if not caller.is_admin and present.fingerprint != caller.fingerprint:
            raise refused()
        self._refuse_to_lose_limits(caller, present)
        await self._rows.delete(present.fingerprint)
        self._known = None
        self._tell("deleted", present.fingerprint, caller.requestor)
        self._cut_off(present.fingerprint)

    @contextmanager
    def watching(self, fingerprint: str, cut_off: Callable[[], None]) -> Generator[None, None, None]:
        """Have `cut_off` called if, while the context lasts, this client loses or changes its trust."""
        watchers = self._watched.setdefault(fingerprint, set())
        watchers.add(cut_off)
        try:
            yield
        finally:
            watchers.discard(cut_off)
            if not watchers and self._watched.get(fingerprint) is watchers:
                del self._watched[fingerprint]

    def _cut_off(self, fingerprint: str) -> None:
        for cut_off in list(self._watched.get(fingerprint, ())):
            cut_off()

    def _refuse_to_lose_limits(self, caller: Caller, present: Certificate) -> None:
        """Where the authority's word is enough, it is its entry that keeps a restricted client restricted."""
        if not self.trusts_authority:
            return
        if not caller.is_admin:
            cause = "this client's entry is what restricts it, so only an administrator may take it away"
            raise Forbidden("certificate", text=f"not authorized: {cause}")
        certificate = certificates.of_pem(present.certificate)
        is_limited = present.restricted or present.type != CLIENT
        if is_limited and self.authority.vouches_for(certificate):
            cause = f"without this entry its client is an administrator, as {TRUSTS_AUTHORITY} trusts all of server.ca"
            raise Invalid("certificate", present.fingerprint[:12], cause=cause, remedy="add it to ca.crl first")

    def _check(self, certificate: ClientCertificate) -> None:
        certificate.check()
        if self.authority.rules and not self.authority.vouches_for(certificate):
            cause = "the certificate is not signed by this server's authority (server.ca), or was taken back (ca.crl)"
            raise Forbidden("certificate", text=f"not authorized: {cause}")

    def _tell(self, what: str, fingerprint: str, requestor: EventLifecycleRequestor) -> None:
        self._events.happened("certificate", what, fingerprint, "", requestor)


def check_type(kind: str) -> None:
    """Refuse all but clients and readers of metrics: certificates of servers are a cluster's. Raises Invalid."""
    if kind not in (CLIENT, METRICS):
        raise Invalid("certificate type", kind, text="Invalid certificate type")


def _shown(row: CertificateRow) -> Certificate:
    return Certificate(
        name=row.name,
        type=row.type,
        restricted=row.restricted,
        projects=list(row.projects),
        certificate=row.certificate,
        fingerprint=row.fingerprint,
    )


def _row(shown: Certificate) -> CertificateRow:
    return CertificateRow(
        fingerprint=shown.fingerprint,
        type=shown.type,
        name=shown.name,
        certificate=shown.certificate,
        restricted=shown.restricted,
        projects=tuple(shown.projects),
    )


def _name(text: str) -> str:
    # Terminals obey the control characters above 127, too.
    if len(text) > LONGEST_NAME or any(unicodedata.category(character) == "Cc" for character in text):
        raise Invalid("certificate name", cause=f"it has control characters or more than {LONGEST_NAME} characters")
    return text


def check_projects(names: Iterable[str]) -> tuple[str, ...]:
    """The projects of a restricted client, each once. Raises NotFound for one that does not exist."""
    for name in names:
        if name != THE_ONLY_PROJECT:
            raise NotFound("project", name)
    return tuple(dict.fromkeys(names))
