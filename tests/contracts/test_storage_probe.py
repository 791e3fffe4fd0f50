"""What a daemon that is killed while it tries a driver leaves: the next try removes it, and nothing that is in use."""

from __future__ import annotations

from pathlib import Path

from lightervisor.kernel import mounts
from lightervisor.storage import probe
from tests.harness import leaks


def test_what_a_killed_one_left_is_removed(folder: Path) -> None:
    left = folder / f"{probe.PREFIX}left"
    for name in ("source", "target"):
        (left / name).mkdir(parents=True)
    mounts.bind(left / "source", left / "target")
    with probe.trying("dir", folder) as mine:
        assert [one.name for one in folder.iterdir()] == [mine.name]
    assert leaks.mounts_below(folder) == []
    assert list(folder.iterdir()) == []


def test_two_at_once_leave_each_other_alone(folder: Path) -> None:
    with probe.trying("dir", folder) as first, probe.trying("dir", folder) as second:
        assert first.is_dir()
        assert first != second
    assert list(folder.iterdir()) == []


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    (folder / f"{probe.PREFIX}link").symlink_to(tmp_path)
    with probe.trying("dir", folder):
        pass
    assert (tmp_path / "kept").exists()
