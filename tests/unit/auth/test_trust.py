"""Who a caller is, and how a guest becomes trusted."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightervisor.auth import password
from lightervisor.auth.authority import Authority
from lightervisor.auth.caller import Caller, Level
from lightervisor.auth.store import TRUSTS_AUTHORITY, TrustStore
from lightervisor.auth.tokens import JoinTokens
from lightervisor.auth.trust import PASSWORD, Trust
from lightervisor.db.certificates import CertificateRows
from lightervisor.db.database import Database
from lightervisor.errors import Conflict, Failure, Forbidden, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.model.certificate import Certificate, CertificatePut, CertificatesPost
from lightervisor.model.operation import Operation
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import Locks
from lightervisor.operations.operations import Operations
from tests.harness import certificates
from tests.harness.certificates import DAY, Identity

HOST = "192.0.2.1"
ADMIN_WORD = "root"


class Fixture:
    """A trust store and what it stands on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "db")
        self.database.open()
        self.settings: dict[str, str] = {}
        self.events = Events()
        self.operations = Operations(self.events, Journal(self.database), Locks())
        store = TrustStore(CertificateRows(self.database), Authority(folder), self.events, lambda: self.settings)
        self.trust = Trust(store, JoinTokens(self.operations, lambda: self.settings), lambda: self.settings)

    def level(self, *chain: Identity) -> Level:
        return self.trust.remote([one.der for one in chain], HOST).level

    async def add(self, identity: Identity, **put: object) -> None:
        post = CertificatesPost(**{"type": "client", "certificate": base64.b64encode(identity.der).decode(), **put})  # type: ignore[arg-type]
        await self.trust.join(self.trust.local(ADMIN_WORD), post, [], "")

    async def join(self, identity: Identity, secret: str = "", **post: object) -> None:
        wanted = CertificatesPost(**{"type": "client", "password": secret, **post})  # type: ignore[arg-type]
        await self.trust.join(self.trust.remote([identity.der], HOST), wanted, [identity.der], HOST)

    async def replace(self, who: Identity, whose: Identity, **changes: object) -> None:
        await self._replace(self.trust.remote([who.der], HOST), whose, changes)

    async def replace_as_administrator(self, whose: Identity, **changes: object) -> None:
        await self._replace(self.trust.local(ADMIN_WORD), whose, changes)

    async def _replace(self, caller: Caller, whose: Identity, changes: dict[str, object]) -> None:
        present = self.trust.store.get(self.trust.local(ADMIN_WORD), whose.fingerprint)
        await self.trust.store.replace(caller, present, self.put(present, **changes))

    @staticmethod
    def put(present: Certificate, **changes: object) -> CertificatePut:
        fields = {name: getattr(present, name) for name in CertificatePut.__struct_fields__}
        return CertificatePut(**{**fields, **changes})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    made.database.close()


def text_of(token: Operation) -> str:
    """What `lxc config trust add` prints."""
    metadata = token.metadata or {}
    content = {"client_name": "", "fingerprint": "ff", "addresses": [], "secret": metadata["secret"]}
    return base64.b64encode(json.dumps(content).encode()).decode()


async def test_a_client_is_known_by_its_certificate(world: Fixture) -> None:
    ours, other = certificates.make(), certificates.make()
    assert world.level(ours) is Level.GUEST
    await world.add(ours)
    assert world.level(ours) is Level.ADMIN
    assert world.level(other) is Level.GUEST
    assert world.level() is Level.GUEST


async def test_only_the_first_certificate_is_proven(world: Fixture) -> None:
    trusted, attacker = certificates.make(), certificates.make()
    await world.add(trusted)
    assert world.level(attacker, trusted) is Level.GUEST


async def test_the_same_name_is_not_the_same_client(world: Fixture) -> None:
    await world.add(certificates.make("root@host"))
    assert world.level(certificates.make("root@host")) is Level.GUEST


async def test_a_certificate_that_ran_out_is_a_guests(world: Fixture) -> None:
    short = certificates.make(ends_in=timedelta(seconds=2))
    await world.add(short)
    assert world.level(short) is Level.ADMIN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightervisor.auth.trust.now", lambda: short.certificate.not_valid_after_utc + DAY)
        assert world.level(short) is Level.GUEST


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (certificates.make(ends_in=-DAY / 2), "The provided certificate is expired"),
        (certificates.make(starts_in=DAY), "The provided certificate isn't valid yet"),
        (certificates.make(rsa_bits=1024), "RSA key is too weak (minimum of 2048bit)"),
    ],
    ids=["expired", "young", "weak"],
)
async def test_a_bad_certificate_is_not_taken(world: Fixture, bad: Identity, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        await world.add(bad)
    assert refused.value.sentence() == text


async def test_levels(world: Fixture) -> None:
    metrics, narrow = certificates.make(), certificates.make()
    await world.add(metrics, type="metrics")
    await world.add(narrow, restricted=True, projects=["default"])
    assert world.level(metrics) is Level.METRICS
    caller = world.trust.remote([narrow.der], HOST)
    assert (caller.level, caller.may_enter("default"), caller.may_enter("x")) == (Level.RESTRICTED, True, False)
    assert not caller.may_enter("")
    with pytest.raises(Invalid):
        await world.add(certificates.make(), type="server")
    with pytest.raises(NotFound):
        await world.add(certificates.make(), projects=["nope"])
    with pytest.raises(Conflict):
        await world.add(narrow)


async def test_the_password(world: Fixture) -> None:
    ours = certificates.make("root@there")
    with pytest.raises(Forbidden):
        await world.join(ours, "secret")  # there is none
    world.settings[PASSWORD] = password.hashed("secret")
    for wrong in ("", "Secret", "secret ", world.settings[PASSWORD]):
        with pytest.raises(Forbidden) as refused:
            await world.join(ours, wrong)
        assert refused.value.sentence() == "not authorized"
    await world.join(ours, "secret")
    assert world.level(ours) is Level.ADMIN
    assert world.trust.store.list(world.trust.local(ADMIN_WORD))[0].name == "root@there"
    with pytest.raises(Invalid, match="already trusted"):
        await world.join(ours, "secret")


async def test_guesses_are_limited_by_address(world: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password, "matches", lambda text, _stored: text == "right")
    world.settings[PASSWORD] = "x"
    guest = certificates.make()
    for _ in range(password.GUESSES):
        with pytest.raises(Forbidden):
            await world.join(guest, "wrong")
    with pytest.raises(password.TooManyGuesses):
        await world.join(guest, "right")
    token = world.trust.tokens.issue(CertificatesPost(type="client"), "ff", [])
    await world.join(guest, text_of(token))  # a token cannot be guessed


def test_an_ipv6_network_is_one_guesser() -> None:
    guesses = password.Guesses(lambda: 0.0)
    for number in range(password.GUESSES):
        guesses.admit(f"2001:db8::{number:x}")
    with pytest.raises(password.TooManyGuesses):
        guesses.admit("2001:db8::ffff")
    guesses.admit("2001:db8:0:1::1")
    guesses.admit("::ffff:192.0.2.1")


async def test_a_token_works_once_and_says_what_its_bearer_becomes(world: Fixture) -> None:
    request = CertificatesPost(type="client", name="ann", token=True, restricted=True, projects=["default"])
    text = text_of(world.trust.tokens.issue(request, "ff", ["192.0.2.2:8443"]))
    ours, other = certificates.make(), certificates.make()
    await world.join(ours, text, name="boss", restricted=False, type="metrics")
    entry = world.trust.store.list(world.trust.local(ADMIN_WORD))[0]
    assert (entry.name, entry.type, entry.restricted, entry.projects) == ("ann", "client", True, ["default"])
    with pytest.raises(Forbidden, match="No matching certificate add operation found"):
        await world.join(other, text)


async def test_a_token_that_was_revoked_or_is_too_old_is_refused(world: Fixture) -> None:
    ours = certificates.make()
    revoked = world.trust.tokens.issue(CertificatesPost(type="client"), "ff", [])
    world.operations.cancel(revoked.id)
    with pytest.raises(Forbidden):
        await world.join(ours, text_of(revoked))
    world.settings["core.remote_token_expiry"] = "1H"
    old = world.trust.tokens.issue(CertificatesPost(type="client"), "ff", [])
    end = (old.metadata or {})["expiresAt"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightervisor.auth.tokens.now", lambda: end + DAY)
        with pytest.raises(Forbidden, match="Token has expired"):
            await world.join(ours, text_of(old))
    assert world.level(ours) is Level.GUEST


@pytest.mark.parametrize(
    ("post", "text"),
    [
        (CertificatesPost(type="metrics"), "Tokens can only be issued for client certificates"),
        (CertificatesPost(type="client", certificate="x"), "Can't use certificate if token is requested"),
    ],
)
async def test_what_no_token_is_for(world: Fixture, post: CertificatesPost, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        world.trust.tokens.issue(post, "ff", [])
    assert refused.value.sentence() == text


async def test_cve_2026_34179_a_restricted_client_stays_restricted(world: Fixture) -> None:
    ours, other, new = certificates.make(), certificates.make(), certificates.make()
    await world.add(ours, name="ours", restricted=True, projects=["default"])
    await world.add(other, name="other")
    changes: list[dict[str, object]] = [
        {"restricted": False},
        {"projects": []},
        {"type": "metrics"},
        {"type": "server"},
        {"name": "x"},
    ]
    for change in changes:
        with pytest.raises(Forbidden):
            await world.replace(ours, ours, **change)
    with pytest.raises(Forbidden):
        await world.replace(ours, other, certificate=new.pem)
    await world.replace(ours, ours, certificate=new.pem)
    assert world.level(ours) is Level.GUEST
    assert world.level(new) is Level.RESTRICTED


async def test_nobody_changes_a_type(world: Fixture) -> None:
    ours = certificates.make()
    await world.add(ours)
    with pytest.raises(Forbidden, match="type cannot be changed"):
        await world.replace(ours, ours, type="metrics")


async def test_one_may_leave_but_not_put_out_others(world: Fixture) -> None:
    ours, other = certificates.make(), certificates.make()
    await world.add(ours, restricted=True)
    await world.add(other)
    store, admin = world.trust.store, world.trust.local(ADMIN_WORD)
    caller = world.trust.remote([ours.der], HOST)
    assert [one.fingerprint for one in store.list(caller)] == [ours.fingerprint]
    with pytest.raises(NotFound):
        store.get(caller, other.fingerprint)
    with pytest.raises(Forbidden):
        await store.delete(caller, store.get(admin, other.fingerprint))
    await store.delete(caller, store.get(caller, ours.fingerprint[:12]))
    assert world.level(ours) is Level.GUEST


async def test_who_loses_trust_is_cut_off(world: Fixture) -> None:
    ours = certificates.make()
    await world.add(ours)
    store, admin, ended = world.trust.store, world.trust.local(ADMIN_WORD), list[str]()
    with store.watching(ours.fingerprint, lambda: ended.append("narrowed")):
        await world.replace(ours, ours, restricted=True, projects=["default"])
    with store.watching(ours.fingerprint, lambda: ended.append("deleted")):
        await store.delete(admin, store.get(admin, ours.fingerprint))
    assert ended == ["narrowed", "deleted"]


class TestAuthority:
    """PKI mode."""

    async def test_only_what_it_signed_is_taken(self, world: Fixture) -> None:
        before, authority = certificates.make(), certificates.make("authority")
        await world.add(before)
        (world.folder / "server.ca").write_text(authority.pem)
        signed = certificates.make(authority=authority)
        assert world.level(before) is Level.GUEST
        with pytest.raises(Forbidden):
            await world.add(certificates.make())
        assert world.level(signed) is Level.GUEST
        await world.add(signed)
        assert world.level(signed) is Level.ADMIN

    async def test_one_of_the_same_name_is_another(self, world: Fixture) -> None:
        (world.folder / "server.ca").write_text(certificates.make("authority").pem)
        world.settings[TRUSTS_AUTHORITY] = "true"
        assert world.level(certificates.make(authority=certificates.make("authority"))) is Level.GUEST

    async def test_it_may_be_enough(self, world: Fixture) -> None:
        authority = certificates.make("authority")
        (world.folder / "server.ca").write_text(authority.pem)
        world.settings[TRUSTS_AUTHORITY] = "true"
        signed, narrow = certificates.make(authority=authority), certificates.make(authority=authority)
        await world.add(narrow, restricted=True)
        assert world.level(signed) is Level.ADMIN
        assert world.level(narrow) is Level.RESTRICTED
        assert world.level(certificates.make()) is Level.GUEST

    async def test_what_it_took_back_is_a_guests(self, world: Fixture) -> None:
        authority = certificates.make("authority")
        (world.folder / "server.ca").write_text(authority.pem)
        world.settings[TRUSTS_AUTHORITY] = "true"
        good, bad = certificates.make(authority=authority), certificates.make(authority=authority)
        await world.add(bad)
        assert world.level(bad) is Level.ADMIN
        (world.folder / "ca.crl").write_bytes(certificates.make_revocations(authority, bad))
        assert (world.level(good), world.level(bad)) == (Level.ADMIN, Level.GUEST)

    @pytest.mark.parametrize("file", ["server.ca", "ca.crl"])
    async def test_a_file_that_cannot_be_read_trusts_nobody(self, world: Fixture, file: str) -> None:
        authority = certificates.make("authority")
        (world.folder / "server.ca").write_text(authority.pem)
        (world.folder / file).write_text("rubbish")
        world.settings[TRUSTS_AUTHORITY] = "true"
        assert world.level(certificates.make(authority=authority)) is Level.GUEST

    async def test_revocations_of_another_authority_do_not_count_as_none(self, world: Fixture) -> None:
        authority = certificates.make("authority")
        (world.folder / "server.ca").write_text(authority.pem)
        (world.folder / "ca.crl").write_bytes(certificates.make_revocations(certificates.make("authority")))
        world.settings[TRUSTS_AUTHORITY] = "true"
        assert world.level(certificates.make(authority=authority)) is Level.GUEST


@pytest.mark.parametrize("junk", [b"", b"x", b"\x30\x82" + b"\0" * 100, b"-----BEGIN CERTIFICATE-----"])
async def test_junk_is_a_guest_and_never_added(world: Fixture, junk: bytes) -> None:
    assert world.trust.remote([junk], HOST).level is Level.GUEST
    post = CertificatesPost(type="client", certificate=base64.b64encode(junk).decode())
    with pytest.raises(Failure):
        await world.trust.join(world.trust.local(ADMIN_WORD), post, [], "")


GOOD = certificates.make("root@fuzz")
AUTHORITY = certificates.make("authority")
NAMES = st.sampled_from(["secret", "addresses", "fingerprint", "client_name", "expires_at", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, len(GOOD.der) - 1), st.integers(0, 255)), min_size=1, max_size=4))
async def test_no_damaged_certificate_is_trusted_or_breaks_anything(
    world: Fixture, changes: list[tuple[int, int]]
) -> None:
    (world.folder / "server.ca").write_text(AUTHORITY.pem)
    world.settings[TRUSTS_AUTHORITY] = "true"
    damaged = bytearray(GOOD.der)
    for place, value in changes:
        damaged[place] = value
    assert world.trust.remote([bytes(damaged)], HOST).level is Level.GUEST
    (world.folder / "server.ca").unlink()
    post = CertificatesPost(type="client", certificate=base64.b64encode(damaged).decode())
    try:
        added = await world.trust.join(world.trust.local(ADMIN_WORD), post, [], "")
    except Failure:
        return
    await world.trust.store.delete(world.trust.local(ADMIN_WORD), added)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ANYTHING)
async def test_no_made_up_token_lets_anybody_in(world: Fixture, content: object) -> None:
    world.trust.tokens.issue(CertificatesPost(type="client", name="t"), "ff", [])
    text = base64.b64encode(json.dumps(content).encode()).decode()
    if world.trust.tokens.reads(text):
        with pytest.raises(Forbidden):
            await world.join(GOOD, text)
