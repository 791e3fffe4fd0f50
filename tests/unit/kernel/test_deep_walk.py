"""Trees that a guest nested as deep as it liked: all that changes each entry comes to their end."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Generator
from pathlib import Path

import pytest

from lightervisor.kernel import cgroup, cpuset, owners, project_quotas
from lightervisor.kernel.deep_walk import walk
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.kernel.paths import remove_tree

LEVELS = 3000


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path, None, None]:
    """A tree of so many levels, each with a file; at its middle a second branch."""
    root = tmp_path_factory.mktemp("deep")
    directory = os.open(root, os.O_RDONLY)
    for level in range(LEVELS):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        for name in ("d", "e") if level == LEVELS // 2 else ("d",):
            os.mkdir(name, dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(directory)
    yield root
    remove_tree(root)


def test_all_is_walked_with_few_descriptors(deep: Path) -> None:
    directory = os.open(deep, os.O_RDONLY)
    before = _open_descriptors()
    found, most = [], 0
    for here, names in walk(directory):
        found.append((os.fstat(here).st_ino, len(names)))
        most = max(most, _open_descriptors() - before)
    assert len({inode for inode, _ in found}) == len(found) == LEVELS + 2
    assert sum(count for _, count in found) == 2 * LEVELS + 1
    assert most < 100
    assert _open_descriptors() == before
    os.close(directory)


def test_a_walk_that_is_given_up_leaves_no_descriptors(deep: Path) -> None:
    directory = os.open(deep, os.O_RDONLY)
    before = _open_descriptors()
    walked = walk(directory)
    for _ in range(200):
        next(walked)
    walked.close()
    assert _open_descriptors() == before
    os.close(directory)


def test_branches_far_below_are_all_walked(tmp_path: Path) -> None:
    """The walk goes up and down again where the levels above are closed."""
    place = tmp_path / "/".join("d" * 150)
    for level in range(150):
        (tmp_path / "/".join("d" * level) / "side/way/on").mkdir(parents=True)
    place.mkdir(parents=True, exist_ok=True)
    directory = os.open(tmp_path, os.O_RDONLY)
    walked = sorted(os.fstat(here).st_ino for here, _ in walk(directory))
    assert walked == sorted(one.stat().st_ino for one in (tmp_path, *tmp_path.rglob("*")))
    os.close(directory)


def test_a_walk_is_not_led_out_of_its_tree(tmp_path: Path) -> None:
    """Who moves a directory away while the walk is far below it does not lead the walk up elsewhere."""
    (tmp_path / "tree" / "/".join("d" * 200)).mkdir(parents=True)
    directory = os.open(tmp_path / "tree", os.O_RDONLY)

    def all_of_it() -> None:
        for level, _ in enumerate(walk(directory)):
            if level == 200:
                (tmp_path / "tree/d/d/d").rename(tmp_path / "away")

    with pytest.raises(OSError, match="moved") as caught:
        all_of_it()
    assert caught.value.errno == errno.ESTALE
    os.close(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owners_of_a_deep_tree_change(deep: Path) -> None:
    idmap = IdMap((IdRange("both", host=1_000_000, guest=0, count=65536),))
    owners.carry_out(deep, owners.planned(deep, None, idmap))
    assert _owners(deep) == {1_000_000}
    owners.unshift(deep, idmap)
    assert _owners(deep) == {0}


def test_a_deep_tree_gets_a_project(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    projects: dict[int, int] = {}

    def ioctl(descriptor: int, request: int, content: bytes) -> bytes:
        if request == 0x401C5820:  # FS_IOC_FSSETXATTR
            projects[os.fstat(descriptor).st_ino] = struct.unpack("=5I8x", content)[3]
        return content

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    directory = os.open(deep, os.O_RDONLY)
    project_quotas.assign_tree(directory, 7, staging=-1)
    assert list(projects.values()) == [7] * (2 * LEVELS + 2)
    assert list(projects)[-1] == deep.stat().st_ino, "the directory itself is the last"
    os.close(directory)


def _owners(root: Path) -> set[int]:
    directory = os.open(root, os.O_RDONLY)
    try:
        return {
            os.stat(name, dir_fd=here, follow_symlinks=False).st_uid
            for here, names in walk(directory)
            for name in (".", *names)
        }
    finally:
        os.close(directory)


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_cgroups_that_a_guest_nested_are_removed(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(LEVELS):
        for name in ("d", "e"):
            os.mkdir(name, dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(directory)
    before = _open_descriptors()
    cgroup.remove([tmp_path / "d", tmp_path / "gone"])
    assert [one.name for one in tmp_path.iterdir()] == ["e"]
    assert _open_descriptors() == before


def test_cpus_of_cgroups_that_a_guest_nested(deep: Path) -> None:
    directory = os.open(deep, os.O_RDONLY)
    for here, _ in walk(directory):
        file = os.open("cpuset.cpus", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(file, b"0-3")
        os.close(file)
    cpuset.pin(deep, "0-1")
    for here, _ in walk(directory):
        assert Path(f"/proc/self/fd/{here}/cpuset.cpus").read_text() == "0,1"
    os.close(directory)
