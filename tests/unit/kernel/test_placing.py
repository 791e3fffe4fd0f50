"""Directories whose children are spread over the disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lightervisor.kernel import placing


def kind_of(directory: Path) -> str:
    return subprocess.run(
        ["stat", "-f", "-c", "%T", directory], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_flag_is_set_and_not_inherited(tmp_path: Path) -> None:
    if kind_of(tmp_path) != "ext2/ext3":
        pytest.skip("this is not ext4")
    for _ in range(2):
        placing.spread(tmp_path)
    (tmp_path / "below").mkdir()
    answer = subprocess.run(["lsattr", "-d", tmp_path, tmp_path / "below"], check=True, capture_output=True, text=True)
    own, child = (line.split()[0] for line in answer.stdout.splitlines())
    assert "T" in own
    assert "T" not in child


@pytest.mark.parametrize("place", ["/dev/shm", "/proc/self", "/sys"])
def test_other_file_systems_are_left_alone(place: str) -> None:
    placing.spread(Path(place))


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        placing.spread(tmp_path / "missing")
