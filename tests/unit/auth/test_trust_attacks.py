"""Attacks on the trust store: clients that are restricted or removed try to stay, or to become more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightervisor.auth.caller import Level
from lightervisor.auth.store import TRUSTS_AUTHORITY
from lightervisor.errors import Forbidden, Invalid, NotFound, PreconditionFailed
from tests.harness import certificates
from tests.harness.certificates import DAY
from tests.unit.auth.test_trust import ADMIN_WORD, HOST, Fixture


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    made.database.close()


async def test_no_restricted_client_of_an_authority_drops_its_entry_to_become_an_administrator(world: Fixture) -> None:
    authority = certificates.make("authority")
    ours, spare = certificates.make(authority=authority), certificates.make(authority=authority)
    (world.folder / "server.ca").write_text(authority.pem)
    await world.add(ours, restricted=True, projects=["default"])
    world.settings[TRUSTS_AUTHORITY] = "true"
    caller = world.trust.remote([ours.der], HOST)
    with pytest.raises(Forbidden):
        await world.trust.store.delete(caller, world.trust.store.get(caller, ours.fingerprint))
    with pytest.raises(Forbidden):
        await world.replace(ours, ours, certificate=spare.pem)
    assert world.level(ours) is Level.RESTRICTED
    world.settings[TRUSTS_AUTHORITY] = "false"
    await world.replace(ours, ours, certificate=spare.pem)
    assert (world.level(ours), world.level(spare)) == (Level.GUEST, Level.RESTRICTED)


@pytest.mark.parametrize("limits", [{"restricted": True}, {"type": "metrics"}], ids=["restricted", "metrics"])
async def test_no_administrator_makes_one_by_removing_an_entry(world: Fixture, limits: dict[str, object]) -> None:
    """Where all that the authority signed are administrators, it is the entry that says less of a client."""
    authority = certificates.make("authority")
    theirs, spare = certificates.make(authority=authority), certificates.make(authority=authority)
    (world.folder / "server.ca").write_text(authority.pem)
    await world.add(theirs, **limits)
    world.settings[TRUSTS_AUTHORITY] = "true"
    before, admin, store = world.level(theirs), world.trust.local(ADMIN_WORD), world.trust.store
    with pytest.raises(Invalid, match="is an administrator"):
        await store.delete(admin, store.get(admin, theirs.fingerprint))
    with pytest.raises(Invalid, match="administrator"):
        await world.replace_as_administrator(theirs, certificate=spare.pem)
    assert world.level(theirs) is before
    (world.folder / "ca.crl").write_bytes(certificates.make_revocations(authority, theirs))
    await store.delete(admin, store.get(admin, theirs.fingerprint))
    assert world.level(theirs) is Level.GUEST


@pytest.mark.parametrize("happens", ["taken back", "expired", "nothing"])
async def test_a_stream_ends_with_the_authoritys_word(
    world: Fixture, monkeypatch: pytest.MonkeyPatch, happens: str
) -> None:
    monkeypatch.setattr("lightervisor.auth.trust.RECHECK_S", 0.01)
    authority = certificates.make("authority")
    ours = certificates.make(authority=authority)
    (world.folder / "server.ca").write_text(authority.pem)
    await world.add(ours)
    ended = asyncio.Event()
    caller = world.trust.remote([ours.der], HOST)
    with world.trust.watching(caller, [ours.der], ended.set):
        if happens == "taken back":
            (world.folder / "ca.crl").write_bytes(certificates.make_revocations(authority, ours))
        elif happens == "expired":
            monkeypatch.setattr("lightervisor.auth.trust.now", lambda: ours.certificate.not_valid_after_utc + DAY)
        try:
            await asyncio.wait_for(ended.wait(), 0.2 if happens == "nothing" else 10)
        except TimeoutError:
            assert happens == "nothing"
    assert ended.is_set() is (happens != "nothing")


async def test_a_renewal_that_crosses_a_restriction_brings_nothing_back(world: Fixture) -> None:
    ours, new = certificates.make(), certificates.make()
    await world.add(ours, restricted=True, projects=["default"])
    caller, store = world.trust.remote([ours.der], HOST), world.trust.store
    seen = store.get(caller, ours.fingerprint)  # what a renewal starts from
    await world.replace_as_administrator(ours, projects=[])
    with pytest.raises(PreconditionFailed):
        await store.replace(caller, seen, world.put(seen, certificate=new.pem))
    assert world.level(new) is Level.GUEST
    assert not world.trust.remote([ours.der], HOST).may_enter("default")


async def test_a_removal_that_crosses_a_renewal_does_not_seem_to_succeed(world: Fixture) -> None:
    ours, new = certificates.make(), certificates.make()
    await world.add(ours, restricted=True)
    store, admin = world.trust.store, world.trust.local(ADMIN_WORD)
    seen = store.get(admin, ours.fingerprint)
    await world.replace(ours, ours, certificate=new.pem)
    with pytest.raises(NotFound):
        await store.delete(admin, seen)


@pytest.mark.parametrize("character", ["\n", "\x1b", "\x7f", "\x9b"])
async def test_a_name_does_not_steer_a_terminal(world: Fixture, character: str) -> None:
    with pytest.raises(Invalid):
        await world.add(certificates.make(), name=f"a{character}31m")
