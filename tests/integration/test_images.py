"""Images: in, out and away."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

COMPRESSORS = {
    "tar.gz": ["gzip", "-1"],
    "tar.bz2": ["bzip2", "-1"],
    "tar.xz": ["xz", "-0"],
    "tar.lzma": ["xz", "-0", "--format=lzma"],
    "tar.zst": ["zstd", "-1", "-q"],
    "tar.lz4": ["lz4", "-1", "-q"],
}


@pytest.fixture
def no_images(daemon: Daemon) -> Iterator[set[str]]:
    """The fingerprints from before; what the test added is deleted."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield before
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)


def marked(tmp_path: Path, name: str) -> str:
    """Metadata that no other image has, so that its fingerprint is new."""
    return images.METADATA + f"  mark: {name}-{tmp_path.name}\n"


def test_a_unified_image_goes_in_and_comes_out_unchanged(
    client: Client, daemon: Daemon, no_images: set[str], tmp_path: Path
) -> None:
    source = images.unified(tmp_path / "image.tar.gz", metadata=marked(tmp_path, "unified"))
    fingerprint = client.import_image(source, alias="t-unified")
    assert fingerprint == hashlib.sha256(source.read_bytes()).hexdigest()
    assert client.images()[fingerprint] == ["t-unified"]
    folder = tmp_path / "out"
    folder.mkdir()
    (exported,) = client.export_image("t-unified", folder)
    assert exported.read_bytes() == source.read_bytes()
    client.delete_image(fingerprint)
    assert fingerprint not in client.images()
    assert not list((daemon.state / "images").glob(f"{fingerprint}*"))


def test_a_split_image_is_one_image(client: Client, no_images: set[str], tmp_path: Path) -> None:
    meta, rootfs = images.split(tmp_path, metadata=marked(tmp_path, "split"))
    fingerprint = client.import_image(meta, rootfs, alias="t-split")
    assert fingerprint == hashlib.sha256(meta.read_bytes() + rootfs.read_bytes()).hexdigest()


def test_the_parts_of_a_split_image_are_exported(either: Lxc, no_images: set[str], tmp_path: Path) -> None:
    meta, rootfs = images.split(tmp_path, metadata=marked(tmp_path, "parts"))
    either.import_image(meta, rootfs, alias="t-parts")
    folder = tmp_path / "out"
    folder.mkdir()
    out_meta, out_rootfs = either.export_image("t-parts", folder)
    assert out_meta.read_bytes() == meta.read_bytes()
    assert out_rootfs.read_bytes() == rootfs.read_bytes()


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_every_compression_is_read_and_launched(
    lxc: Lxc, no_images: set[str], tmp_path: Path, name: str, suffix: str
) -> None:
    plain = images.unified(tmp_path / "image.tar", metadata=marked(tmp_path, suffix))
    packed = tmp_path / f"image.{suffix}"
    packed.write_bytes(subprocess.run([*COMPRESSORS[suffix], "-c", plain], capture_output=True, check=True).stdout)
    lxc.import_image(packed, alias="t-packed")
    lxc.launch("t-packed", name)
    assert lxc.run(name, "hostname").stdout == f"{name}\n"


def test_a_squashfs_root_is_read_and_launched(lxc: Lxc, no_images: set[str], tmp_path: Path, name: str) -> None:
    meta, rootfs = images.split(tmp_path, metadata=marked(tmp_path, "squashfs"))
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xzf", rootfs, "-C", tree], check=True)
    squashed = tmp_path / "rootfs.squashfs"
    subprocess.run(["mksquashfs", tree, squashed, "-quiet", "-no-progress"], check=True, capture_output=True)
    lxc.import_image(meta, squashed, alias="t-squashed")
    lxc.launch("t-squashed", name)
    assert lxc.run(name, "hostname").stdout == f"{name}\n"


def test_the_same_image_twice_is_refused(either: Lxc, no_images: set[str], tmp_path: Path) -> None:
    source = images.unified(tmp_path / "image.tar.gz", metadata=marked(tmp_path, "twice"))
    either.import_image(source, alias="t-once")
    either("image", "import", source, "--alias", "t-twice").failed("Image with same fingerprint already exists")


def test_aliases_are_made_listed_renamed_and_deleted(either: Lxc, image: str) -> None:
    fingerprint = next(fp for fp, names in either.images().items() if image in names)
    either("image", "alias", "create", "t-alias", fingerprint[:12]).ok()
    assert "t-alias" in either("image", "alias", "list").ok().stdout
    either("image", "alias", "create", "t-alias", fingerprint).failed("already exists")
    either("image", "alias", "rename", "t-alias", "t-alias-2").ok()
    assert "t-alias-2" in either.images()[fingerprint]
    either("image", "alias", "delete", "t-alias-2").ok()
    assert either.images()[fingerprint] == [image]


def test_properties_and_public_are_edited(either: Lxc, no_images: set[str], tmp_path: Path) -> None:
    source = images.unified(tmp_path / "image.tar.gz", metadata=marked(tmp_path, "edit"))
    either.import_image(source, alias="t-edit")
    shown = either("image", "show", "t-edit").ok().stdout
    edited = shown.replace("public: false", "public: true").replace("properties:\n", "properties:\n  colour: blue\n")
    either("image", "edit", "t-edit", stdin=edited).ok()
    info = either("image", "info", "t-edit").ok().stdout
    assert "colour: blue" in info
    assert "Public: yes" in info


def test_an_unknown_image_is_not_found(client: Client, name: str) -> None:
    with pytest.raises(ClientFailure, match=r"(?i)not found|couldn't be found|wasn't provided"):
        client.create("no-such-image", name)
    assert name not in client.statuses()


def test_our_own_remote_builds_busybox_from_nothing(lxc: Lxc, no_images: set[str], name: str) -> None:
    assert "busybox" in lxc("image", "list", "build:").ok().stdout
    lxc("launch", "build:busybox", name).ok()
    assert lxc.run(name, "hostname").stdout == f"{name}\n"
    lxc("stop", name).ok()


def test_an_image_deleted_during_a_launch_serves_it(daemon: Daemon, tmp_path: Path, name: str) -> None:
    for number in range(4):
        metadata = images.METADATA + f"  mark: {name}-{number}\n"
        file = images.unified(tmp_path / f"{number}.tar.gz", metadata=metadata)
        fingerprint = daemon.operation("POST", "/1.0/images", file.read_bytes())["metadata"]["fingerprint"]
        made = f"{name}-{number}"
        source = {"type": "image", "fingerprint": fingerprint}
        creating = daemon.request("POST", "/1.0/instances", {"name": made, "source": source}).envelope["operation"]
        assert daemon.operation("DELETE", f"/1.0/images/{fingerprint}")["err"] == ""
        assert daemon.request("GET", f"{creating}/wait").metadata["err"] == ""
        state = {"action": "start", "timeout": 30}
        assert daemon.operation("PUT", f"/1.0/instances/{made}/state", state)["err"] == ""
        assert daemon.request("GET", f"/1.0/images/{fingerprint}").status == 404
