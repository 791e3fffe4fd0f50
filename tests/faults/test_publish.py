"""Every effect of publishing, one after the other: what if it fails, is the daemon's last, or is cancelled?"""

from __future__ import annotations

import pytest

from tests.faults.strikes import strike
from tests.faults.work import STOP, Outcome, Work

LEAST = 8


def prepare(work: Work, name: str) -> list[Outcome]:
    """An instance that has run."""
    done = work.launch(name)
    return done + work.do(("PUT", f"/1.0/instances/{name}/state", STOP))


def publish(work: Work, name: str) -> list[Outcome]:
    """Make an image of it."""
    properties = {"of": name}
    return work.do(("POST", "/1.0/images", {"source": {"type": "instance", "name": name}, "properties": properties}))


def images(work: Work, name: str) -> list[str]:
    """The images that were made of an instance."""
    listed = work.daemon.request("GET", "/1.0/images?recursion=1").metadata
    return [one["fingerprint"] for one in listed if one["properties"].get("of") == name]


def settle(work: Work, name: str) -> None:
    """Images are whole, nothing half made is left, and the instance is as good as before."""
    for fingerprint in images(work, name):
        copy = work.new_name()
        body = {"name": copy, "source": {"type": "image", "fingerprint": fingerprint}}
        assert work.daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
        work.make_whole(copy)
        assert work.daemon.operation("DELETE", f"/1.0/images/{fingerprint}")["status"] == "Success"
    kept = {entry.name.partition(".")[0] for entry in (work.daemon.state / "images").iterdir() if entry.is_file()}
    assert kept == {url.rpartition("/")[2] for url in work.daemon.request("GET", "/1.0/images").metadata}
    assert list((work.daemon.state / "images/.incoming").iterdir()) == []
    work.make_whole(name)


@pytest.mark.parametrize("mode", ["fail", "kill"])
def test_a_publishing_leaves_a_whole_image_or_none(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        assert len(images(work, name)) in (
            (1,) if how == "Success" else (0, 1)
        )  # what fails may be the note of the end
        if how == "Failure" and list((work.daemon.state / "images/.incoming").iterdir()):
            work.daemon.restart()  # what could not be removed goes with the next start
        settle(work, name)

    strike(crew, mode, publish, prepare, check, least=LEAST)
