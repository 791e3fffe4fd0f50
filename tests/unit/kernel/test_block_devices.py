"""Which disk holds a path: of trees of sysfs and tables of mounts that a test wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.kernel import block_devices


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A disk 254:0 with a partition 254:1."""
    disk = tmp_path / "sys/devices/vda"
    (disk / "vda1").mkdir(parents=True)
    (disk / "queue").mkdir()
    (disk / "queue/scheduler").write_text("none\n")
    (disk / "dev").write_text("254:0\n")
    (disk / "vda1/dev").write_text("254:1\n")
    (disk / "vda1/partition").write_text("1\n")
    numbers = tmp_path / "sys/dev/block"
    numbers.mkdir(parents=True)
    (numbers / "254:0").symlink_to(disk)
    (numbers / "254:1").symlink_to(disk / "vda1")
    return tmp_path / "sys"


class _Placed(type(Path())):
    """A path that lies on a device of the test's choice."""

    device = 0

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat_result((0o40755, 1, self.device, 1, 0, 0, 0, 0, 0, 0))

    def is_block_device(self) -> bool:
        return False


@pytest.mark.parametrize(("minor", "found"), [(0, ["254:0"]), (1, ["254:0"]), (2, [])])
def test_limits_are_of_the_whole_disk(sys: Path, minor: int, found: list[str]) -> None:
    place = _Placed("/srv")
    place.device = os.makedev(254, minor)
    assert block_devices.holding(place, sys) == found


def test_memory_is_on_no_disk(sys: Path, tmp_path: Path) -> None:
    place = _Placed("/run")
    place.device = os.makedev(0, 30)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("30 1 0:30 / /run rw shared:1 - tmpfs tmpfs rw\n")
    assert block_devices.holding(place, sys, tmp_path) == []


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        block_devices.holding(Path("/no/such/place"))


def test_an_overlay_is_written_where_its_upper_directory_is(sys: Path, tmp_path: Path) -> None:
    upper = tmp_path / "an upper"
    upper.mkdir()
    number = upper.stat().st_dev
    (sys / f"dev/block/{os.major(number)}:{os.minor(number)}").unlink(missing_ok=True)
    (sys / f"dev/block/{os.major(number)}:{os.minor(number)}").symlink_to(sys / "devices/vda")
    place, shown = _Placed("/merged"), str(upper).replace(" ", "\\040")
    place.device = os.makedev(0, 31)
    (tmp_path / "self").mkdir()
    options = f"rw,lowerdir=/lower,upperdir={shown},workdir=/work"
    (tmp_path / "self/mountinfo").write_text(f"31 1 0:31 / /merged rw - overlay overlay {options}\n")
    if not os.major(number):
        pytest.skip("the tests' directory is on no device")
    assert block_devices.holding(place, sys, tmp_path) == [f"{os.major(number)}:{os.minor(number)}"]
    (tmp_path / "self/mountinfo").write_text("31 1 0:31 / /merged ro - overlay overlay ro,lowerdir=/lower\n")
    assert block_devices.holding(place, sys, tmp_path) == []
