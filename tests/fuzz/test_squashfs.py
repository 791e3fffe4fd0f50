"""Squashfs files with wrong bytes: looked at and unpacked, or refused with an error of ours, in bounded time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st

from lightervisor.errors import Invalid
from lightervisor.images.formats.squashfs import Squashfs
from lightervisor.images.meter import Limits, Meter
from lightervisor.images.unpack import inspect, unpack
from lightervisor.kernel import paths
from tests.fuzz.fuzzing import HANGS, fuzz
from tests.harness import images

pytestmark = [HANGS, pytest.mark.skipif(os.geteuid() != 0, reason="unpacking with owners needs root")]
LIMITS = Limits(base=64 << 20, ratio=1, reserve=0)


def _made(folder: Path, *words: str) -> bytes:
    """A small image."""
    tree, out = folder / "tree", folder / f"out{len(words)}"
    if not tree.exists():
        (tree / "rootfs/d").mkdir(parents=True)
        (tree / "templates").mkdir()
        (tree / "metadata.yaml").write_text(images.METADATA)
        (tree / "rootfs/large").write_bytes(os.urandom(5000) * 30)
        (tree / "rootfs/link").symlink_to("/etc/passwd")
        os.setxattr(tree / "rootfs/d", "user.colour", b"blue")
    subprocess.run(["mksquashfs", tree, out, "-quiet", "-no-progress", *words], check=True, capture_output=True)
    return out.read_bytes()


@st.composite
def changed(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A file in which some numbers are others: of the superblock, of the tables at its end, or anywhere."""
    text = bytearray(draw(st.sampled_from(samples)))
    tables = int.from_bytes(text[64:72], "little")
    places = st.integers(4, 95) | st.integers(tables, len(text) - 1) | st.integers(0, len(text) - 1)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(places)
        new = draw(
            st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\1", b"\x80", b"../x"]) | st.binary(min_size=1, max_size=8)
        )
        text[at : at + len(new)] = new
    return bytes(text[: draw(st.just(len(text)) | st.integers(0, len(text)))])


def test_squashfs() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        samples = [_made(folder), _made(folder, "-noI", "-noD", "-noF", "-noX")]
        file = folder / "image"

        def target(text: bytes) -> None:
            file.write_bytes(text)
            place = folder / "target"
            place.mkdir()
            try:
                with suppress(Invalid):
                    Squashfs().inspect(file, Meter(len(text)), metadata=False)
                    inspect(file, None)
                    unpack(file, None, place, Meter(len(text), place, limits=LIMITS))
            finally:
                paths.remove_tree(place)

        fuzz("squashfs", changed(samples), target)
