"""The superblock of a squashfs: what cannot be one is refused before any program looks at the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lightervisor.errors import Invalid
from lightervisor.images.formats.squashfs import check_superblock


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file system."""
    folder = tmp_path_factory.mktemp("squashfs")
    (folder / "tree").mkdir()
    (folder / "tree/file").write_text("x")
    subprocess.run(["mksquashfs", folder / "tree", folder / "out", "-quiet", "-no-progress"], check=True)
    return Path(folder / "out").read_bytes()


@pytest.mark.parametrize("compressor", ["gzip", "lzo", "lz4", "xz", "zstd"])
@pytest.mark.parametrize("block", ["4K", "128K", "1M"])
def test_what_mksquashfs_makes_is_taken(tmp_path: Path, compressor: str, block: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(bytes(9000))
    words = ["mksquashfs", tmp_path / "tree", tmp_path / "out", "-comp", compressor, "-b", block]
    made = subprocess.run([*words, "-quiet", "-no-progress"], capture_output=True, text=True)
    if "is not supported" in made.stdout + made.stderr:
        pytest.skip(f"this mksquashfs has no {compressor}")
    text = (tmp_path / "out").read_bytes()
    check_superblock(text[:96], len(text))


@pytest.mark.parametrize(
    ("at", "content", "reason"),
    [
        (4, bytes(4), "superblock is wrong"),
        (12, b"\x01\0\0\0", "superblock is wrong"),
        (22, b"\x63\0", "superblock is wrong"),
        (20, b"\x07\0", "not known"),
        (28, b"\x03\0", "not known"),
        (40, b"\xff" * 8, "shorter"),
        (48, b"\xff" * 8, "superblock is wrong"),
        (64, b"\xff" * 8, "superblock is wrong"),
        (72, b"\xff" * 7 + b"\x7f", "superblock is wrong"),
        (80, b"\xfe" + b"\xff" * 7, "superblock is wrong"),
    ],
)
def test_a_superblock_that_lies_is_refused(whole: bytes, at: int, content: bytes, reason: str) -> None:
    check_superblock(whole, len(whole))
    with pytest.raises(Invalid, match=reason):
        check_superblock(whole[:at] + content + whole[at + len(content) :], len(whole))


def test_a_short_file_is_refused(whole: bytes) -> None:
    for length in (0, 4, 95, 96, len(whole) - 4096):
        with pytest.raises(Invalid, match="shorter"):
            check_superblock(whole[: min(96, length)], length)
