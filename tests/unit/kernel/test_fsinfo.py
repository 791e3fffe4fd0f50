"""What a file system is and how full it is."""

from __future__ import annotations

from pathlib import Path

from lightervisor.kernel import fsinfo


def test_types_have_their_names() -> None:
    assert fsinfo.type_name(Path("/proc")) == "0x9fa0"
    assert fsinfo.type_name(Path("/dev/shm")) == "tmpfs"


def test_space_adds_up(tmp_path: Path) -> None:
    space = fsinfo.space(tmp_path)
    assert 0 < space.used <= space.total
    assert space.free <= space.total - space.used
    assert not fsinfo.is_full(tmp_path)


def test_the_nearest_directory_that_exists(tmp_path: Path) -> None:
    assert fsinfo.existing_parent(tmp_path / "a/b/c") == tmp_path
    assert fsinfo.existing_parent(tmp_path) == tmp_path
