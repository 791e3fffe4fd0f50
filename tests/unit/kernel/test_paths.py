"""Paths below a root: nothing leads out, links and depth notwithstanding."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightervisor.kernel import paths

WORDS = ["..", ".", "etc", "away", "up", "absolute", "", "secret", "passwd"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc/passwd").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (inside / "absolute").symlink_to("/etc/passwd")
    (inside / "up").symlink_to("../../../secret")
    (inside / "away").symlink_to(tmp_path)
    return inside


def test_links_resolve_inside(root: Path) -> None:
    assert paths.read(root, "absolute", limit=100) == b"inside"
    assert paths.read(root, "/../../etc/passwd", limit=100) == b"inside"
    for path in ("up", "away/secret", "../secret"):
        with pytest.raises(FileNotFoundError):
            paths.read(root, path, limit=100)


def test_magic_links_are_refused(root: Path) -> None:
    (root / "self").symlink_to("/proc/self/root")
    with pytest.raises(OSError, match="self"):
        os.close(paths.open_beneath(root, "self/etc", os.O_RDONLY))
    with pytest.raises(OSError, match="fd"):
        os.close(paths.open_beneath(Path("/proc/self"), "fd/0", os.O_RDONLY))


def test_a_large_file_or_a_pipe_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        paths.read(root, "pipe", limit=10)
    with pytest.raises(OSError, match="too large"):
        paths.read(root, "etc/passwd", limit=3)


def test_directories_are_made_and_listed(root: Path) -> None:
    paths.mkdir(root, "a/b/c", parents=True)
    paths.mkdir(root, "a/b/c", parents=True)
    with pytest.raises(NotADirectoryError):
        paths.mkdir(root, "etc/passwd/x")
    with pytest.raises(FileExistsError):
        paths.mkdir(root, "a")
    paths.symlink(root, "/anywhere", "a/link")
    assert paths.readlink(root, "a/link") == "/anywhere"
    assert paths.names(root, "a") == ["b", "link"]
    paths.rename(root, "a/link", "a/b/link")
    assert paths.exists(root, "a/b/link")
    assert not paths.exists(root, "a/b/link", follow=True)
    paths.unlink(root, "a/b/link")
    paths.rmdir(root, "a/b/c")
    assert paths.names(root, "a/b") == []


def test_a_path_that_ends_in_no_name_is_refused(root: Path) -> None:
    for path in ("", "/", "..", "a/.."):
        with pytest.raises(OSError, match="no name"):
            paths.remove_beneath(root, path)


def test_removing_follows_no_link(root: Path, tmp_path: Path) -> None:
    (root / "tree/sub").mkdir(parents=True)
    (root / "tree/out").symlink_to(tmp_path)
    (root / "tree/sub/file").write_text("")
    paths.remove_beneath(root, "tree")
    paths.remove_beneath(root, "tree")
    paths.remove_tree(root / "away")
    assert (tmp_path / "secret").read_text() == "outside"
    assert not os.path.lexists(root / "tree")
    assert not os.path.lexists(root / "away")


def test_a_very_deep_tree_is_removed_with_few_descriptors(root: Path) -> None:
    directory = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(directory)
    paths.remove_tree(root / "d")
    assert sorted(one.name for one in root.iterdir()) == ["absolute", "away", "etc", "up"]


def test_size_counts_a_linked_file_once(root: Path) -> None:
    (root / "big").mkdir()
    (root / "big/one").write_bytes(os.urandom(1 << 20))
    os.link(root / "big/one", root / "big/two")
    assert 1 << 20 <= paths.tree_size(root, "big") < 2 << 20
    assert paths.tree_size(root, "nothing") == 0


def test_a_very_deep_tree_has_a_size(root: Path) -> None:
    directory = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(directory)
    assert paths.tree_size(root, "d") > 0
    paths.remove_tree(root / "d")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from(["..", ".", "etc", "away", "up", "absolute", "", "secret", "passwd"]), max_size=8)
)
def test_no_path_reads_what_is_outside(root: Path, parts: list[str]) -> None:
    try:
        found = paths.read(root, "/".join(parts), limit=100)
    except OSError:
        return
    assert found == b"inside"
