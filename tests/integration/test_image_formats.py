"""Every archive format for real: what comes out of an archive is what went in, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from lightervisor.errors import Failure, HostError, Invalid
from lightervisor.images.formats.format import format_of
from lightervisor.images.meter import Limits, Meter
from lightervisor.images.sandbox import confined
from lightervisor.images.unpack import inspect, unpack
from lightervisor.kernel import process
from tests.harness import special_files
from tests.harness.crafted import COMPRESSORS
from tests.harness.special_files import pack, packed

METADATA = b"architecture: x86_64\ncreation_date: 1700000000\n"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking with owners needs root")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image's tree with one of everything that a file system can hold."""
    root = tmp_path_factory.mktemp("tree")
    (root / "metadata.yaml").write_bytes(METADATA)
    (root / "templates").mkdir()
    (root / "templates/hostname.tpl").write_text("{{ container.name }}\n")
    rootfs = root / "rootfs"
    rootfs.mkdir()
    special_files.make(rootfs)
    return root


def check_tree(found: Path, *, has_acl: bool = True) -> None:
    """What `tree` made is there again."""
    special_files.check(found / "rootfs", has_acl=has_acl)
    assert (found / "metadata.yaml").read_bytes() == METADATA
    assert (found / "templates/hostname.tpl").is_file()


def fresh(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    return target


def unpacked(archive: Path, tmp_path: Path, limits: Limits | None = None) -> Path:
    target = fresh(tmp_path)
    unpack(archive, None, target, Meter(archive.stat().st_size, target, limits=limits))
    return target


@pytest.mark.parametrize("suffix", ["tar", *COMPRESSORS, "squashfs"])
def test_everything_in_a_file_system_survives(tree: Path, tmp_path: Path, suffix: str) -> None:
    archive = packed(tree, tmp_path, suffix)
    assert inspect(archive, None).architecture == "x86_64"
    target = unpacked(archive, tmp_path)
    check_tree(target, has_acl=suffix != "squashfs")


@pytest.mark.parametrize("meta_suffix", ["tar", "xz"])
@pytest.mark.parametrize("root_suffix", ["gz", "squashfs"])
def test_a_split_image_becomes_one_tree(tree: Path, tmp_path: Path, meta_suffix: str, root_suffix: str) -> None:
    meta_tree = tmp_path / "meta-tree"
    meta_tree.mkdir()
    subprocess.run(["cp", "-a", tree / "metadata.yaml", tree / "templates", meta_tree], check=True)
    folders = [tmp_path / "meta", tmp_path / "root"]
    for place in folders:
        place.mkdir()
    meta, root = packed(meta_tree, folders[0], meta_suffix), packed(tree / "rootfs", folders[1], root_suffix)
    assert inspect(meta, root).creation_date == 1700000000
    target = fresh(tmp_path)
    unpack(meta, root, target, Meter(root.stat().st_size, target))
    check_tree(target, has_acl=root_suffix != "squashfs")


@pytest.mark.parametrize("suffix", ["tar", *COMPRESSORS, "squashfs"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_truncated_archive_is_refused_when_it_comes_and_when_it_is_unpacked(
    tree: Path, tmp_path: Path, suffix: str, kept: float
) -> None:
    bulky = tmp_path / "bulky"
    subprocess.run(["cp", "-a", tree, bulky], check=True)
    (bulky / "rootfs/noise").write_bytes(os.urandom(300_000))
    archive = packed(bulky, tmp_path, suffix)
    size = archive.stat().st_size
    os.truncate(archive, int(size * kept) if suffix != "tar" else size - (int(size * (1 - kept)) | 511))
    with pytest.raises(Invalid, match=r"damaged|shorter"):
        inspect(archive, None)
    with pytest.raises(Invalid, match=r"damaged|cannot be unpacked"):
        unpacked(archive, tmp_path)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_mislabelled_archive_is_refused(tmp_path: Path, suffix: str) -> None:
    magic = format_of(packed_noise(tmp_path, suffix)).MAGIC[1]
    wrong = tmp_path / "wrong"
    wrong.write_bytes(magic + b"this is something else" * 100)
    with pytest.raises(Invalid):
        inspect(wrong, None)


def packed_noise(folder: Path, suffix: str) -> Path:
    target = folder / f"noise.{suffix}"
    done = subprocess.run(COMPRESSORS[suffix], input=os.urandom(100), capture_output=True, check=True)
    target.write_bytes(done.stdout)
    return target


def test_orders_to_overlayfs_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "rootfs/d").mkdir(parents=True)
    (source / "metadata.yaml").write_bytes(METADATA)
    os.setxattr(source / "rootfs/d", "trusted.overlay.opaque", b"y")
    target = unpacked(pack(source, tmp_path / "image.tar"), tmp_path)
    assert not os.listxattr(target / "rootfs/d")


def test_orders_to_overlayfs_in_squashfs_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "rootfs/d").mkdir(parents=True)
    (source / "metadata.yaml").write_bytes(METADATA)
    os.setxattr(source / "rootfs/d", "trusted.overlay.opaque", b"y")
    with pytest.raises(Invalid, match=r"trusted\.overlay\.opaque"):
        unpacked(packed(source, tmp_path, "squashfs"), tmp_path)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image's tree with a file of 150 MiB that packs well."""
    root = tmp_path_factory.mktemp("letters")
    (root / "rootfs").mkdir()
    (root / "metadata.yaml").write_bytes(METADATA)
    with (root / "rootfs/letters").open("wb") as file:
        for number in range(150):
            file.write(bytes([65 + number % 2]) * (1 << 20))
    return root


@pytest.mark.parametrize("suffix", ["tar", *COMPRESSORS, "squashfs"])
def test_a_bomb_goes_off_small(letters: Path, tmp_path: Path, suffix: str) -> None:
    bomb = packed(letters, tmp_path, suffix)
    limits = Limits(base=4 << 20, ratio=0 if suffix == "tar" else 5)
    if suffix not in ("zst", "squashfs"):
        with pytest.raises(Invalid, match="unpacks to more than"):
            format_of(bomb).inspect(bomb, Meter(bomb.stat().st_size, limits=limits), metadata=True)
    with pytest.raises(Invalid, match="unpacks to more than"):
        unpacked(bomb, tmp_path, limits)
    written = sum(entry.stat().st_blocks * 512 for entry in (tmp_path / "target").rglob("*") if entry.is_file())
    assert written < 60 << 20 or suffix == "squashfs"  # unsquashfs is looked at ten times a second


@pytest.mark.parametrize("suffix", ["zst", "squashfs"])
def test_a_full_file_system_is_said_in_one_sentence(tree: Path, tmp_path: Path, suffix: str) -> None:
    big = tmp_path / "big"
    subprocess.run(["cp", "-a", tree, big], check=True)
    (big / "rootfs/noise").write_bytes(os.urandom(24 << 20))
    archive = packed(big, tmp_path, suffix)
    target = fresh(tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", target], check=True)
    try:
        with pytest.raises(HostError, match="No space left on the file system of the storage pool"):
            unpack(archive, None, target, Meter(archive.stat().st_size, target, limits=Limits(reserve=0)))
        with pytest.raises(HostError, match="No space left"):
            Meter(1, target, limits=Limits(reserve=64 << 20)).check()
    finally:
        subprocess.run(["umount", target], check=True)


def test_unpacking_can_be_stopped(tree: Path, tmp_path: Path) -> None:
    archive, target, stop = packed(tree, tmp_path, "squashfs"), fresh(tmp_path), threading.Event()
    stop.set()
    with pytest.raises(Failure, match="cancelled"):
        unpack(archive, None, target, Meter(1, target, stop=stop))


def test_progress_ends_at_a_hundred(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "rootfs").mkdir(parents=True)
    (source / "metadata.yaml").write_bytes(METADATA)
    (source / "rootfs/noise").write_bytes(os.urandom(200 << 20))
    archive, target, shown = pack(source, tmp_path / "image.tar"), fresh(tmp_path), list[str]()
    unpack(archive, None, target, Meter(archive.stat().st_size, target, shown.append))
    assert all(text.startswith("Unpack: ") and text.endswith("MB/s)") for text in shown)


def test_confined_programs_see_nothing_of_the_host() -> None:
    with pytest.raises(HostError, match="No such file"):
        process.run(confined(["ls", "/etc/passwd"]))
    with pytest.raises(HostError, match="No such file"):
        process.run(confined(["ls", "/root"]))
