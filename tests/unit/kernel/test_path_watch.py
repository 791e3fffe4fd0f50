"""Paths that come and go."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.kernel.path_watch import PathWatch


@pytest.fixture
def watch() -> Iterator[PathWatch]:
    made = PathWatch()
    yield made
    made.close()


def told(watch: PathWatch) -> set[str]:
    """What is told; waits for something."""
    assert select.select([watch.fileno()], [], [], 10)[0], "nothing is told"
    return watch.read()


def test_a_path_comes_and_goes(watch: PathWatch, tmp_path: Path) -> None:
    path, other = tmp_path / "one", tmp_path / "other"
    watch.follow([str(path)])
    other.touch()
    assert watch.read() == set()
    path.touch()
    assert told(watch) == {str(path)}
    path.rename(other)
    assert told(watch) == {str(path)}
    other.rename(path)
    assert told(watch) == {str(path)}
    path.unlink()
    assert told(watch) == {str(path)}


def test_directories_on_the_way_may_come_later(watch: PathWatch, tmp_path: Path) -> None:
    path = tmp_path / "a/b/c/node"
    watch.follow([str(path)])
    path.parent.mkdir(parents=True)
    path.touch()
    assert told(watch) == {str(path)}
    watch.read()
    path.unlink()
    assert told(watch) == {str(path)}
    (tmp_path / "a").rename(tmp_path / "z")
    assert told(watch) == {str(path)}
    path.parent.mkdir(parents=True)
    told(watch)
    path.touch()
    assert told(watch) == {str(path)}


def test_links_are_followed_as_they_lead(watch: PathWatch, tmp_path: Path) -> None:
    link, target = tmp_path / "by-id/disk", tmp_path / "real/disk"
    link.parent.mkdir()
    target.parent.mkdir()
    link.symlink_to("../real/disk")
    watch.follow([str(link)])
    target.touch()
    assert told(watch) == {str(link)}, "what the link leads to"
    link.unlink()
    assert told(watch) == {str(link)}, "the link itself"


def test_links_on_the_way_are_followed_too(watch: PathWatch, tmp_path: Path) -> None:
    path = tmp_path / "first/node"
    for folder in ("one", "other", "deep/er"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(tmp_path / "deep/er/../../one")
    watch.follow([str(path)])
    (tmp_path / "one/node").touch()
    assert told(watch) == {str(path)}, "where two links lead"
    (tmp_path / "second").unlink()
    assert told(watch) == {str(path)}, "a link behind a link"
    (tmp_path / "second").symlink_to("other")
    assert told(watch) == {str(path)}
    (tmp_path / "one/node").unlink()
    assert watch.read() == set(), "it leads there no more"
    (tmp_path / "other/node").touch()
    assert told(watch) == {str(path)}


def test_links_in_a_circle_end(watch: PathWatch, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    watch.follow([str(tmp_path / "circle/node")])
    (tmp_path / "circle").unlink()
    assert told(watch) == {str(tmp_path / "circle/node")}


def test_two_names_of_a_directory_are_watched_both(watch: PathWatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    paths = {str(tmp_path / "real/node"), str(tmp_path / "alias/node")}
    watch.follow(paths)
    (tmp_path / "real/node").touch()
    assert told(watch) == paths


def test_what_is_followed_no_longer_is_not_told(watch: PathWatch, tmp_path: Path) -> None:
    watch.follow([str(tmp_path / "one")])
    watch.follow([])
    (tmp_path / "one").touch()
    assert watch.read() == set()


def test_a_queue_that_ran_over_tells_of_all(watch: PathWatch, tmp_path: Path) -> None:
    paths = {str(tmp_path / name) for name in ("one", "two")}
    watch.follow(paths)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most + 10):
        (tmp_path / f"x{number % 2}").touch()
        (tmp_path / f"x{number % 2}").unlink()
    assert told(watch) == paths
