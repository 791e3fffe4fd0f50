"""Every effect of making, renaming and deleting a custom volume: what if it fails, or is the daemon's last?

Afterwards the volume is there whole or not at all, on disk and for clients, and the same request succeeds.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.strikes import Part, Strikes, dying, told
from tests.faults.work import Outcome, Work

VOLUMES = "/1.0/storage-pools/default/volumes/custom"
NEW = "another-name"
LEAST = 2
MODES = pytest.mark.parametrize("mode", ["fail", "kill"])


def request(work: Work, method: str, path: str, body: Any = None) -> list[Outcome]:
    answer = work.daemon.request(method, path, body)
    return [{"status": "Success" if answer.status in (200, 201) else "Failure", "err": answer.error}]


def make(work: Work, name: str) -> list[Outcome]:
    return request(work, "POST", VOLUMES, {"name": name})


def rename(work: Work, name: str) -> list[Outcome]:
    return request(work, "POST", f"{VOLUMES}/{name}", {"name": NEW})


def delete(work: Work, name: str) -> list[Outcome]:
    return request(work, "DELETE", f"{VOLUMES}/{name}")


def present(work: Work, name: str) -> list[str]:
    """The names that the volume has for clients, which must be those on disk."""
    listed = [url.rpartition("/")[2] for url in work.daemon.request("GET", VOLUMES).metadata]
    found = [one for one in listed if one in (name, NEW)]
    places = (work.daemon.state / "storage-pools/default/custom").iterdir()
    assert sorted(place.name.removeprefix("default_") for place in places) == found
    return found


def strike(crew: list[Work], mode: str, part: Part, prepare: Part | None, outcomes: tuple[int, ...]) -> None:
    """Strike every effect; `outcomes` are how many volumes may be there afterwards, under either name."""

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        if mode == "fail" and done:
            told(done)
        found = present(work, name)
        assert len(found) in outcomes
        for one in found:
            assert delete(work, one)[0]["status"] == "Success"
        # The same name can be had again, and nothing is left of it.
        assert make(work, name)[0]["status"] == "Success"
        assert present(work, name) == [name]
        assert delete(work, name)[0]["status"] == "Success"
        assert present(work, name) == []
        work.rest()

    name = crew[0].new_name()
    if prepare is not None:
        prepare(crew[0], name)
    effects = crew[0].faults.of(name, lambda: part(crew[0], name))
    check(crew[0], name, [])
    Strikes(mode, dying(part) if mode == "kill" else part, check, prepare).strike(crew, effects, least=LEAST)


@MODES
def test_a_volume_is_made_whole_or_not_at_all(crew: list[Work], mode: str) -> None:
    strike(crew, mode, make, None, (0, 1))


@MODES
def test_a_volume_is_renamed_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, rename, make, (1,))


@MODES
def test_a_volume_is_deleted_or_not(crew: list[Work], mode: str) -> None:
    strike(crew, mode, delete, make, (0, 1))
