"""Every effect of rebuilding an instance: what if it fails, or is the daemon's last?

Afterwards it has the files and the configuration of one image, and its snapshot is whole.
"""

from __future__ import annotations

import pytest

from tests.faults.strikes import Part, strike, succeeded
from tests.faults.test_snapshots import LEAST, MODES, configured, end, note, snapshots, stopped, take, write
from tests.faults.work import Outcome, Work

NAMED = "image.description"


def prepared(work: Work, name: str) -> list[Outcome]:
    stopped(work, name)
    done = succeeded(take(work, name))
    write(work, name, "two")
    return done


def rebuild(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"/1.0/instances/{name}/rebuild", {"source": {"type": "image", "fingerprint": work.image}}))


def empty(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"/1.0/instances/{name}/rebuild", {"source": {"type": "none"}}))


def has_files(work: Work, name: str) -> bool:
    return work.daemon.request("GET", f"/1.0/instances/{name}/files?path=/note").status == 200


@MODES
@pytest.mark.parametrize(("part", "has_image"), [(rebuild, True), (empty, False)])
def test_an_instance_is_rebuilt_whole_or_not_at_all(crew: list[Work], mode: str, part: Part, has_image: bool) -> None:
    def check(work: Work, name: str, how: str) -> None:
        assert work.says(name) == "Stopped"
        config = work.daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]
        if has_files(work, name):
            assert how != "Success"
            assert (note(work, name), NAMED in config) == ("two", True)
            succeeded(part(work, name))  # the same request again succeeds
            assert not has_files(work, name)
        else:
            assert (NAMED in config) is has_image
        succeeded(work.do(("PUT", f"/1.0/instances/{name}", {"restore": "s1"})))
        assert (note(work, name), configured(work, name)) == ("one", "one")
        succeeded(work.do(("DELETE", snapshots(name, "s1"), None)))
        end(work, name)

    strike(crew, mode, part, prepared, check, least=LEAST)
