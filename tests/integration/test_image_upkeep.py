"""What becomes of images by themselves: expiry of the cache, updates, and when neither happens."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tests.harness.image_tree import MACHINE, Tree
from tests.harness.processes import eventually
from tests.harness.web import Request, serving


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with serving() as web:
        yield Tree(web, tmp_path)


def launch(daemon: Daemon, tree: Tree) -> None:
    """Cache the tree's image by making an instance of it, which does not stay."""
    name = f"t-{daemon.bridge}"
    done = daemon.operation("POST", "/1.0/instances", {"name": name, "source": tree.source()})
    assert done["err"] == ""
    assert daemon.operation("DELETE", f"/1.0/instances/{name}")["err"] == ""


def age(daemon: Daemon, days: int) -> None:
    """While the daemon is down, let everything about its images be this much older."""
    with sqlite3.connect(daemon.state / "database/lightervisor.db") as rows:
        for column in ("last_used_at", "uploaded_at"):
            old = f"replace(datetime({column}, '-{days} days'), ' ', 'T') || '+00:00'"
            rows.execute(f"update images set {column} = {old}")  # no value of a user's
    rows.close()


def fingerprints(daemon: Daemon) -> list[str]:
    return [url.rpartition("/")[2] for url in daemon.request("GET", "/1.0/images").metadata]


def older(daemon: Daemon, days: int) -> None:
    """The daemon is started again that many days later."""
    daemon.stop()
    age(daemon, days)
    daemon.start()


def configure(daemon: Daemon, **config: str) -> None:
    keys = {f"images.{key}": value for key, value in config.items()}
    assert daemon.request("PATCH", "/1.0", {"config": keys}).status == 200


def test_a_cached_image_that_nobody_uses_goes_after_ten_days(fresh_daemon: Daemon, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    older(fresh_daemon, 9)
    updated = 'operation with description "Updating images"'
    eventually(lambda: len(tree.web.seen) > 4, what=updated)  # so what happens at the start has happened
    assert fingerprints(fresh_daemon) == [fingerprint]
    older(fresh_daemon, 2)
    eventually(lambda: fingerprints(fresh_daemon) == [], what="the image to expire")
    assert not list((fresh_daemon.state / "images").glob(f"{fingerprint}*"))
    pool = fresh_daemon.state / "storage-pools/default/images"
    eventually(lambda: not list(pool.iterdir()), what="nothing to be unpacked of it")


def test_an_image_of_the_users_own_stays(fresh_daemon: Daemon, tree: Tree) -> None:
    kept = tree.add("20260101_01:00")
    assert fresh_daemon.operation("POST", "/1.0/images", {"source": tree.source()})["err"] == ""
    tree.add("20260102_01:00")
    launch(fresh_daemon, tree)
    older(fresh_daemon, 1000)
    eventually(lambda: fingerprints(fresh_daemon) == [kept], what="the cached image to expire, and only that")


def test_without_an_expiry_the_cache_stays(fresh_daemon: Daemon, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    configure(fresh_daemon, remote_cache_expiry="0")
    before = len(tree.web.seen)
    older(fresh_daemon, 1000)
    eventually(lambda: len(tree.web.seen) > before, what="the look for updates at the start")
    assert fingerprints(fresh_daemon) == [fingerprint]


def test_cached_images_are_updated(fresh_daemon: Daemon, tree: Tree) -> None:
    tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    used = fresh_daemon.request("GET", "/1.0/images?recursion=1").metadata[0]["last_used_at"]
    new = tree.add("20260102_01:00")
    fresh_daemon.restart()
    eventually(lambda: fingerprints(fresh_daemon) == [new], what="the newer image in place of the old one")
    image = fresh_daemon.request("GET", f"/1.0/images/{new}").metadata
    assert (image["cached"], image["auto_update"], image["last_used_at"]) == (True, True, used)
    pool = fresh_daemon.state / "storage-pools/default/images"
    eventually(lambda: [entry.name for entry in pool.iterdir()] == [new], what="the new image unpacked, the old gone")


@pytest.mark.parametrize(
    "config", [{"auto_update_interval": "0"}, {"auto_update_cached": "false"}], ids=["never", "not-cached"]
)
def test_images_are_not_updated_where_nobody_wants_it(fresh_daemon: Daemon, tree: Tree, config: dict[str, str]) -> None:
    configure(fresh_daemon, **config)
    old = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    tree.add("20260102_01:00")
    before = len(tree.web.seen)
    older(fresh_daemon, 0)
    done = fresh_daemon.operation("POST", "/1.0/images", {"source": tree.source(alias="nothing")})
    assert "couldn't be found" in done["err"]  # this came after what is done at the start
    assert fingerprints(fresh_daemon) == [old]
    assert len(tree.web.seen) == before + 2


def test_an_update_that_fails_leaves_the_image(fresh_daemon: Daemon, tree: Tree) -> None:
    old = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    tree.add("20260102_01:00")
    root = next(path for path in tree.web.pages if path.endswith("20260102_01:00/root.tar.xz"))
    body = tree.web.pages[root]
    assert isinstance(body, bytes)
    tree.web.pages[root] = bytes(len(body))
    fresh_daemon.restart()
    eventually(lambda: f"image {old[:12]} is not updated" in fresh_daemon.tail(500), what="the warning in the log")
    assert fingerprints(fresh_daemon) == [old]


def test_an_update_leaves_the_users_own_image_as_it_is_kept(fresh_daemon: Daemon, tree: Tree) -> None:
    old = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    own = tree.add("20260102_01:00")
    assert fresh_daemon.operation("POST", "/1.0/images", {"source": tree.source(), "public": True})["err"] == ""
    assert fresh_daemon.operation("POST", f"/1.0/images/{old}/refresh", {})["metadata"]["refreshed"] is True
    assert fingerprints(fresh_daemon) == [own]
    image = fresh_daemon.request("GET", f"/1.0/images/{own}").metadata
    assert (image["cached"], image["public"], image["auto_update"]) == (False, True, False)


def test_a_second_copy_takes_nothing_back(fresh_daemon: Daemon, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    first = {"source": tree.source(), "public": True, "auto_update": True}
    assert fresh_daemon.operation("POST", "/1.0/images", first)["err"] == ""
    assert fresh_daemon.operation("POST", "/1.0/images", {"source": tree.source()})["err"] == ""
    image = fresh_daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["public"], image["auto_update"]) == (True, True)


def test_a_copy_of_a_cached_image_is_updated_only_if_asked_for(fresh_daemon: Daemon, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    assert fresh_daemon.operation("POST", "/1.0/images", {"source": tree.source()})["err"] == ""
    image = fresh_daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"]) == (False, False)


def test_refreshes_at_once_agree(fresh_daemon: Daemon, tree: Tree) -> None:
    old = tree.add("20260101_01:00")
    launch(fresh_daemon, tree)
    new = tree.add("20260102_01:00")

    def refresh(_: int) -> tuple[str, object]:
        done = fresh_daemon.operation("POST", f"/1.0/images/{old}/refresh", {})
        return done["err"], done["metadata"].get("refreshed")

    both = threading.Barrier(2)  # the first that reads the index waits for the second refresh to have begun
    index = tree.web.pages["/streams/v1/index.json"]
    assert isinstance(index, bytes)

    def answer(request: Request) -> None:
        both.wait(timeout=60)
        request.answer(200, index)

    tree.web.pages["/streams/v1/index.json"] = answer
    with ThreadPoolExecutor(2) as threads:
        outcomes = [threads.submit(refresh, number) for number in range(2)]
        running = "/1.0/operations?recursion=1"
        eventually(
            lambda: len(fresh_daemon.request("GET", running).metadata.get("running", [])) == 2, what="two refreshes"
        )
        both.wait(timeout=60)
        assert [one.result() for one in outcomes] == [("", True), ("", True)]
    assert fingerprints(fresh_daemon) == [new]


def test_an_image_of_another_architecture_is_not_launched(fresh_daemon: Daemon, tree: Tree) -> None:
    tree.add("20260101_01:00")
    listed = tree.web.pages["/streams/v1/images.json"]
    assert isinstance(listed, bytes)
    tree.web.pages["/streams/v1/images.json"] = listed.replace(f'"{MACHINE}"'.encode(), b'"s390x"')
    source = tree.source(alias="box/s390x")
    done = fresh_daemon.operation("POST", "/1.0/instances", {"name": "t-foreign", "source": source})
    text = "Failed creating instance record: Requested architecture isn't supported by this host"
    assert done["err"].startswith(text)
    assert fresh_daemon.instance_names() == []
