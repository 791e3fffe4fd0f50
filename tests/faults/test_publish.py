"""Every effect of publishing, one after the other: what if it fails, is the daemon's last, or is cancelled?"""

from __future__ import annotations

from tests.faults.strikes import Strikes, told
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


def publish_and_die(work: Work, name: str) -> list[Outcome]:
    """Make an image on a daemon that dies meanwhile."""
    return work.die_during(lambda name: publish(work, name), name)


def effects(work: Work) -> list[str]:
    """What publishing does to the world when nothing disturbs it."""
    name = work.new_name()
    prepare(work, name)
    work.rest()
    found = work.faults.of(name, lambda: publish(work, name))
    settle(work, name)
    return found


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


def test_a_publishing_that_fails_leaves_a_whole_image_or_none(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        has_failed = told(done)
        assert len(images(work, name)) in ((0, 1) if has_failed else (1,))  # what fails may be the note of the end
        if has_failed and list((work.daemon.state / "images/.incoming").iterdir()):
            work.daemon.restart()  # what could not be removed goes with the next start
        settle(work, name)

    Strikes("fail", publish, check, prepare).strike(crew, effects(crew[0]), least=LEAST)


def test_a_daemon_killed_in_a_publishing_leaves_nothing(crew: list[Work]) -> None:
    def check(work: Work, name: str, _done: list[Outcome]) -> None:
        settle(work, name)

    Strikes("kill", publish_and_die, check, prepare).strike(crew, effects(crew[0]), least=LEAST)
