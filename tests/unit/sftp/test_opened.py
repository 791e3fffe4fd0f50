"""Files that a session makes where the guest changes what is there meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightervisor.client import sftp_packets as packets
from lightervisor.client.sftp_packets import Attributes
from lightervisor.kernel import whole_file
from lightervisor.sftp.opened import Opener

MAKING = packets.FOR_WRITING | packets.CREATING


@pytest.fixture
def opener() -> Iterator[Opener]:
    """As in a privileged guest."""
    own = whole_file.open_own()
    yield Opener(own, is_host_root=True)
    os.close(own)


def put(opener: Opener, place: Path, wanted: int = MAKING) -> None:
    file = opener.file(os.fsencode(place), wanted, Attributes(mode=0o600))
    try:
        file.write(0, b"content")
    finally:
        file.close()


def test_links_to_where_nothing_is_are_followed(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(tmp_path / "far/three")
    (tmp_path / "far/three").symlink_to("../four")
    put(opener, tmp_path / "one")
    assert (tmp_path / "four").read_bytes() == b"content"
    assert (tmp_path / "one").is_symlink()


@pytest.mark.parametrize("comes", ["file", "link", "kernel"])
def test_what_comes_between_is_not_opened_unseen(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    place, really = tmp_path / "place", os.open

    def late(path: Any, flags: int, *arguments: Any, **words: Any) -> int:
        if flags & os.O_CREAT and not place.is_symlink() and not place.exists():
            if comes == "file":
                place.write_text("a longer text")
            else:
                place.symlink_to("/proc/self/comm" if comes == "kernel" else "elsewhere")
        return really(path, flags, *arguments, **words)

    monkeypatch.setattr(os, "open", late)
    if comes == "kernel":
        with pytest.raises(PermissionError) as caught:
            put(opener, place)
        assert caught.value.errno == errno.EACCES  # not the kernel's word after it was opened
    else:
        put(opener, place)
        assert place.read_text() == ("contentr text" if comes == "file" else "content")


def test_an_exclusive_file_is_new(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(FileExistsError):
        put(opener, tmp_path / "link", MAKING | packets.EXCLUSIVE)


def test_a_link_that_grows_as_it_is_followed_comes_to_an_end(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, really = iter(range(1000)), os.open

    def late(path: Any, flags: int, *arguments: Any, **words: Any) -> int:
        if flags & os.O_CREAT:
            Path(os.fsdecode(path)).symlink_to(f"n{next(numbers)}")
        return really(path, flags, *arguments, **words)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(OSError, match="symbolic links"):
        put(opener, tmp_path / "place")
