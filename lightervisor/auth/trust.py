"""Who a caller is, and how a guest becomes a trusted client: by password, by token, or by an administrator's word.

TLS proves that a client holds the key of the first certificate it shows; nothing proves the others of its chain, so
they never count. Source: LXD REST API, authentication.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from lightervisor.auth import certificate as certificates
from lightervisor.auth import password
from lightervisor.auth.caller import Caller, Level, refused
from lightervisor.auth.certificate import ClientCertificate
from lightervisor.auth.store import METRICS, TrustStore, check_type
from lightervisor.auth.tokens import JoinTokens
from lightervisor.errors import Invalid
from lightervisor.model.certificate import Certificate, CertificatesPost
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.times import now

LARGEST_KEPT = 4096
RECHECK_S = 5.0
PASSWORD = "core.trust_password"  # noqa: S105  # a key's name


class Trust:
    """Knows callers and lets them in. `settings` are the server's keys as they are stored."""

    def __init__(self, store: TrustStore, tokens: JoinTokens, settings: Callable[[], Mapping[str, str]]) -> None:
        self.store, self.tokens, self._settings = store, tokens, settings
        self._guesses = password.Guesses()

    @staticmethod
    @lru_cache(maxsize=256)
    def local(username: str) -> Caller:
        """A client of the unix socket: the file's permissions have let it in."""
        requestor = EventLifecycleRequestor(username=username, protocol="unix", address="@")
        return Caller(level=Level.ADMIN, requestor=requestor, is_local=True)

    def remote(self, chain: list[bytes], address: str) -> Caller:
        """A client of the network, by the certificates (DER, its own first) that it showed; none is a guest."""
        certificate = _certificate(chain[0]) if chain else None
        if certificate is None:
            return Caller(level=Level.GUEST, requestor=EventLifecycleRequestor(protocol="tls", address=address))
        fingerprint = certificate.fingerprint
        level, projects = self._level(certificate)
        requestor = EventLifecycleRequestor(username=fingerprint, protocol="tls", address=address)
        return Caller(level=level, requestor=requestor, projects=projects, fingerprint=fingerprint)

    def _level(self, certificate: ClientCertificate) -> tuple[Level, frozenset[str]]:
        nothing: frozenset[str] = frozenset()
        if not certificate.is_valid_at(now()):
            return Level.GUEST, nothing
        authority = self.store.authority
        if authority.rules and not authority.vouches_for(certificate):
            return Level.GUEST, nothing
        if (found := self.store.find(certificate.fingerprint)) is not None:
            if found.type == METRICS:
                return Level.METRICS, nothing
            return (Level.RESTRICTED, frozenset(found.projects)) if found.restricted else (Level.ADMIN, nothing)
        if self.store.trusts_authority:
            return Level.ADMIN, nothing
        return Level.GUEST, nothing

    @contextmanager
    def watching(self, caller: Caller, chain: list[bytes], cut_off: Callable[[], None]) -> Generator[None, None, None]:
        """Have `cut_off` called when, while the context lasts, a client of the network is trusted less or otherwise.

        A change of its entry counts at once. That its certificate expires, or that the authority takes it back, nobody
        tells: it is found within `RECHECK_S`.
        """
        loop = asyncio.get_running_loop()

        def look() -> None:
            nonlocal timer
            now = self.remote(chain, caller.requestor.address)
            if (now.level, now.projects) == (caller.level, caller.projects):
                timer = loop.call_later(RECHECK_S, look)
            else:
                cut_off()

        timer = loop.call_later(RECHECK_S, look)
        try:
            with self.store.watching(caller.fingerprint, cut_off):
                yield
        finally:
            timer.cancel()

    async def join(self, caller: Caller, wanted: CertificatesPost, shown: list[bytes], address: str) -> Certificate:
        """Add a certificate: the one in the request, else the caller's own (`shown`).

        An administrator's word is enough; all others need the password or a token, which also says what they become.
        Raises Forbidden, Invalid, Conflict, TooManyGuesses.
        """
        if caller.is_trusted and not wanted.certificate:
            raise Invalid("client", text="Client is already trusted")
        if not caller.is_admin:
            wanted = await self._let_in(wanted, address)
        check_type(wanted.type)
        if wanted.certificate:
            certificate = certificates.of_base64(wanted.certificate)
        elif shown:
            certificate = ClientCertificate(shown[0])
        else:
            raise Invalid("certificate", text="No client certificate provided")
        return await self.store.add(wanted, certificate, caller.requestor)

    async def _let_in(self, wanted: CertificatesPost, address: str) -> CertificatesPost:
        """The request as the secret in it allows it. Raises Forbidden for a wrong one."""
        secret = wanted.trust_token or wanted.password
        if not secret:
            raise refused()
        if self.tokens.reads(secret):
            return self.tokens.redeem(secret, wanted)
        self._guesses.admit(address)
        stored = self._settings().get(PASSWORD, "")
        if not stored or not await asyncio.to_thread(password.matches, secret, stored):
            raise refused()
        self._guesses.forgive(address)
        return wanted


def _certificate(der: bytes) -> ClientCertificate | None:
    """A certificate, or None for what is none; kept, if not too long, as a client shows its own with each request."""
    return _kept(der) if len(der) <= LARGEST_KEPT else _read(der)


@lru_cache(maxsize=256)
def _kept(der: bytes) -> ClientCertificate | None:
    return _read(der)


def _read(der: bytes) -> ClientCertificate | None:
    try:
        return ClientCertificate(der)
    except Invalid:
        return None
