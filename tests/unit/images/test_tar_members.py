"""Members of a tar stream: hostile headers are refused quickly and with one kind of error."""

from __future__ import annotations

import io
import tarfile
import time

import pytest

from lightervisor.errors import Invalid
from lightervisor.images.tar_members import LARGEST_HEADER, members

SLOWEST_S = 5


def _archive(name: str, pax: bytes | None = None, content: bytes = b"") -> io.BytesIO:
    """One file, behind an extended header with exactly these bytes."""
    made = io.BytesIO()
    if pax is not None:
        header = tarfile.TarInfo("x")
        header.type, header.size = b"x", len(pax)
        made.write(header.tobuf(tarfile.USTAR_FORMAT) + pax + bytes(-len(pax) % 512))
    member = tarfile.TarInfo(name)
    member.size = len(content)
    made.write(member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512) + bytes(1024))
    made.seek(0)
    return made


def _names(archive: io.BytesIO) -> list[str]:
    return [member.name for member in members(archive.read)]


def test_a_header_gives_the_name_and_the_size() -> None:
    pax = b"17 path=long/name\n" + b"9 size=3\n"
    pax = pax.replace(b"17 path", b"18 path")
    found = [(one.name, one.size, one.data()) for one in members(_archive("short", pax, b"abc").read)]
    assert found == [("long/name", 3, b"abc")]


def test_very_many_records_take_no_longer_than_reading_them() -> None:
    pax = b"5 a=\n" * (LARGEST_HEADER // 5)
    begun = time.monotonic()
    assert _names(_archive("file", pax)) == ["file"]
    assert time.monotonic() - begun < SLOWEST_S


@pytest.mark.parametrize(
    "pax",
    [
        b"9" * 5000 + b" a=b\n",  # more digits than Python makes a number of
        b"12 size=\xc2\xb23\n",  # digits that are none
        b"%d size=%s\n" % (5013, b"1" * 5000),
        b"0 a=b\n",
        b"3 \n",
        b" a=b\n",
        b"-6 a=b\n",
        b"99 a=b\n",
        b"abc",
        b"7 a=b\nx" + b"y" * 30,  # nothing that could be a length after the first record
    ],
)
def test_a_wrong_header_is_a_damaged_archive(pax: bytes) -> None:
    with pytest.raises(Invalid, match="damaged"):
        _names(_archive("file", pax))
