"""The meter of an unpacking: what it says, and when it stops it."""

import threading
from pathlib import Path

import pytest

from lightervisor.errors import Failure, Invalid
from lightervisor.images.meter import Limits, Meter
from lightervisor.kernel import files


def test_progress_is_told_while_an_archive_is_followed_and_not_after_it_is_closed(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(b"x" * 100)
    said: list[str] = []
    meter = Meter(100, tmp_path, said.append, limits=Limits(reserve=0, reserve_inodes=0))
    with archive.open("rb", buffering=0) as file, meter.following(file.fileno()):
        file.read(40)
        meter.check()
    assert len(said) == 1
    assert said[0].startswith("Unpack: 40% (")
    meter.check()
    assert len(said) == 1


def test_a_bomb_is_stopped() -> None:
    meter = Meter(10, limits=Limits(base=100, ratio=2))
    meter.written(120)
    with pytest.raises(Invalid, match="unpacks to more than 120 bytes"):
        meter.written(1)


def test_it_stops_when_told_to() -> None:
    stop = threading.Event()
    meter = Meter(10, stop=stop)
    stop.set()
    with pytest.raises(Failure, match="cancelled"):
        meter.check()


def test_what_has_been_read_is_given_back(tmp_path: Path) -> None:
    archive, begin = tmp_path / "archive", 1 << 20
    archive.write_bytes(b"x" * 2 * begin)
    meter = Meter(2 * begin, tmp_path, limits=Limits(reserve=0, reserve_inodes=0))
    meter.when_read(lambda position: files.give_back(archive, position))
    with archive.open("rb", buffering=0) as file, meter.following(file.fileno()):
        file.read(begin)
        meter.check()
        assert file.read() == b"x" * begin
    assert (archive.stat().st_size, archive.stat().st_blocks * 512 <= begin + 8192) == (2 * begin, True)
