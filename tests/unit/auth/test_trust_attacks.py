"""Attacks on the trust store: clients that are restricted or removed try to stay, or to become more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightervisor.auth.caller import Level
from lightervisor.auth.store import TRUSTS_AUTHORITY
from lightervisor.errors import Forbidden, Invalid, NotFound, PreconditionFailed
from tests.harness import certificates
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
