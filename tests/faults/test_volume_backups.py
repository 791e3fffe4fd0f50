"""Every effect of making and importing a backup of a volume: what if it fails, is the last, or is cancelled?"""

from __future__ import annotations

import pytest

from tests.faults.strikes import Part, Strikes, dying, told
from tests.faults.test_volume_copies import HERE, WHOLE, held, make, url
from tests.faults.work import Outcome, Work

LEAST = 2
MODES = pytest.mark.parametrize("mode", ["fail", "kill", "cancel"])


def keep(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"{url(HERE, name)}/backups", {"name": name, "compression_algorithm": "none"}))


def load(archive: bytes) -> Part:
    def part(work: Work, name: str) -> list[Outcome]:
        headers = {"Content-Type": "application/octet-stream", "X-LXD-name": name}
        started = work.daemon.request("POST", url(HERE), archive, headers=headers)
        if started.status != 202:
            return [{"status": "Failure", "err": started.error}]
        return [work.daemon.request("GET", f"{started.envelope['operation']}/wait").metadata]

    return part


def nothing(work: Work, name: str) -> list[Outcome]:
    _ = work, name
    return []


def failed(mode: str, done: list[Outcome]) -> bool:
    if mode == "cancel" and done:
        return done[-1]["status"] == "Cancelled"
    return mode == "fail" and bool(done) and told(done)


def left(work: Work, folder: str) -> int:
    place = work.daemon.state / "backups" / folder
    return len(list(place.iterdir())) if place.exists() else 0


def is_tidy(work: Work, mode: str) -> bool:
    """Nothing half made is left; what an injected failure kept from being removed goes with the next start."""
    if mode == "fail" and left(work, ".incoming"):
        work.daemon.restart()
    return left(work, ".incoming") == 0


@MODES
def test_a_backup_is_kept_or_not(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        found = work.daemon.request("GET", f"{url(HERE, name)}/backups").metadata
        assert is_tidy(work, mode) and left(work, "custom") == len(found)
        assert not (failed(mode, done) and found)
        assert held(work, HERE, name) == WHOLE
        if not found:
            assert keep(work, name)[0]["status"] == "Success"
        work.daemon.request("DELETE", url(HERE, name))
        assert held(work, HERE, name) == {} and left(work, "custom") == 0
        work.rest()

    name = crew[0].new_name()
    make(crew[0], name)
    effects = crew[0].faults.of(name, lambda: keep(crew[0], name))
    check(crew[0], name, [])
    Strikes(mode, dying(keep) if mode == "kill" else keep, check, make).strike(crew, effects, least=LEAST)


@MODES
def test_an_import_is_whole_or_gone(crew: list[Work], mode: str) -> None:
    source = crew[0].new_name()
    make(crew[0], source)
    keep(crew[0], source)
    archive = crew[0].daemon.request("GET", f"{url(HERE, source)}/backups/{source}/export").body
    crew[0].daemon.request("DELETE", url(HERE, source))
    part = load(archive)

    def check(work: Work, name: str, done: list[Outcome]) -> None:
        found = held(work, HERE, name)
        assert found in (({},) if failed(mode, done) else (WHOLE, {}))
        assert is_tidy(work, mode)
        if not found:
            assert part(work, name)[0]["status"] == "Success"
            assert held(work, HERE, name) == WHOLE
        work.daemon.request("DELETE", url(HERE, name))
        assert held(work, HERE, name) == {}
        work.rest()

    name = crew[0].new_name()
    effects = crew[0].faults.of(name, lambda: part(crew[0], name))
    check(crew[0], name, [])
    Strikes(mode, dying(part) if mode == "kill" else part, check, nothing).strike(crew, effects, least=LEAST)
