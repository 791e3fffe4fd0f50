"""Files that the client writes: whole or not at all, and nothing but files is replaced."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.cli import transfer


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("cut")

    path = tmp_path / "backup"
    with pytest.raises(ConnectionError):
        transfer.save(broken(), path)
    assert list(tmp_path.iterdir()) == []
    transfer.save(iter([b"a", b"b"]), path)
    transfer.save(iter([b"new"]), path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("backup", b"new")]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    transfer.save(iter([b"one ", b"two"]), fifo)
    reader.join()
    assert read == [b"one two"]
    assert fifo.is_fifo()
    assert [one.name for one in tmp_path.iterdir()] == ["fifo"]
