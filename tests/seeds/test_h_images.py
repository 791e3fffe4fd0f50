"""Rows H1, H4-H6, H15, H16, H18-H26, H27, H31, H35: images."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import discard
from tests.harness import images
from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell


@pytest.fixture(autouse=True)
def tidy(daemon: Daemon) -> Iterator[None]:
    """Delete the images that a test added."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)


@pytest.fixture
def tarball(folder: Path) -> Path:
    """A unified image of its own in the shell's folder, called image.tar.gz."""
    return images.unified(folder / "image.tar.gz", metadata=images.METADATA + f"  mark: {folder}\n")


def heads(text: str) -> list[str]:
    return [word.strip() for word in text.splitlines()[1].strip("| ").split("|")]


def test_h1_list_shows_how_many_more_aliases(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias w --alias x").ok()
    text = shell("lxc image list").ok().stdout
    assert heads(text) == [
        "ALIAS", "FINGERPRINT", "PUBLIC", "DESCRIPTION", "ARCHITECTURE", "TYPE", "SIZE", "UPLOAD DATE",
    ]  # fmt: skip
    assert "w (1 more)" in text


def test_h4_list_by_a_part_of_the_alias(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias focal/amd64").ok()
    assert "focal/amd64" in shell("lxc image list amd64").ok().stdout
    assert "focal/amd64" not in shell("lxc image list armhf").ok().stdout


def test_h5_list_by_a_property(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias mine os=ubuntu").ok()
    assert "mine" in shell("lxc image list os=ubuntu").ok().stdout
    assert "mine" not in shell("lxc image list os=gentoo").ok().stdout


def test_h6_info(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias niji").ok()
    text = shell("lxc image info niji").ok().stdout
    for line in (
        "Fingerprint: ", "Size: ", "Architecture: ", "Type: container", "Public: no", "Timestamps:", "    Created: ",
        "    Uploaded: ", "    Expires: never", "    Last used: ", "Properties:", "Aliases:", "    - niji",
        "Cached: no", "Auto update: disabled", "Profiles:",
    ):  # fmt: skip
        assert f"\n{line}" in f"\n{text}", line


def test_h15_import_tells_the_hash_of_the_file(shell: Shell, tarball: Path) -> None:
    fingerprint = hashlib.sha256(tarball.read_bytes()).hexdigest()
    done = shell("lxc image import image.tar.gz --alias random-image").ok()
    assert f"Image imported with fingerprint: {fingerprint}" in done.stdout


def test_h16_import_of_two_files_hashes_both(shell: Shell, folder: Path) -> None:
    meta, rootfs = images.split(folder, metadata=images.METADATA + f"  mark: {folder}\n")
    fingerprint = hashlib.sha256(meta.read_bytes() + rootfs.read_bytes()).hexdigest()
    done = shell(f"lxc image import {meta.name} {rootfs.name} --alias some-name").ok()
    assert fingerprint in done.stdout


def test_h18_edit_takes_the_old_key_too(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias mine").ok()
    shell(
        "cat >image.yml && lxc image edit mine <image.yml",
        stdin="autoupdate: false\npublic: true\nproperties: {os: changed}\n",
    ).ok()
    shown = shell("lxc image show mine").ok().stdout
    assert "public: true" in shown
    assert "os: changed" in shown


def test_h19_delete_by_alias_and_by_fingerprint(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias mine").ok()
    assert shell("lxc image delete mine").ok().stdout == ""
    shell("lxc image info mine").failed()
    done = shell("lxc image import image.tar.gz").ok()
    shell(f"lxc image delete {done.stdout.rsplit(maxsplit=1)[-1][:12]}").ok()


def test_h20_export_gives_one_file_or_two(shell: Shell, folder: Path, tarball: Path) -> None:
    meta, rootfs = images.split(folder, metadata=images.METADATA + f"  mark: split {folder}\n")
    shell("lxc image import image.tar.gz --alias one").ok()
    shell(f"lxc image import {meta.name} {rootfs.name} --alias two").ok()
    for alias, count in (("one", 1), ("two", 2)):
        done = shell(f"mkdir {alias} && cd {alias} && lxc image export {alias} .").ok()
        assert "Image exported successfully!" in done.stdout
        assert len(list((folder / alias).iterdir())) == count
    names = sorted(path.name for path in (folder / "two").iterdir())
    assert names[1].startswith("meta-")
    assert names[1].endswith(".tar.xz")


def test_h18_what_an_editor_saves_is_stored(shell: Shell, tarball: Path, editor: Callable[[str], str]) -> None:
    shell("lxc image import image.tar.gz --alias mine").ok()
    terminal = "script -qec 'lxc image edit mine' /dev/null"
    shell(terminal, EDITOR=editor("s/^public: false/public: true/; s/os: busybox/os: edited/")).ok()
    shown = yaml.safe_load(shell("lxc image show mine").ok().stdout)
    assert (shown["public"], shown["properties"]["os"]) == (True, "edited")


def test_h21_export_under_a_name_and_import_of_it(shell: Shell, folder: Path, tarball: Path) -> None:
    fingerprint = shell("lxc image import image.tar.gz --alias foo-2.0").ok().stdout.split()[-1]
    shell("lxc image export foo-2.0 foo-2.0.tar.gz").ok()
    assert (folder / "foo-2.0.tar.gz").read_bytes() == tarball.read_bytes()
    shell("lxc image delete foo-2.0").ok()
    done = shell("lxc image import foo-2.0.tar.gz --alias foo-2.0 --public").ok()
    assert f"Image imported with fingerprint: {fingerprint}" in done.stdout
    assert "Public: yes\n" in shell("lxc image info foo-2.0").ok().stdout


def test_h25_an_image_is_made_public(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias foo-2.0").ok()
    shell("lxc image show foo-2.0 | sed 's/^public: false/public: true/' | lxc image edit foo-2.0").ok()
    assert "Public: yes\n" in shell("lxc image info foo-2.0").ok().stdout


def test_h35_some_facts_stay(shell: Shell, tarball: Path) -> None:
    shell("lxc image import image.tar.gz --alias mine").ok()
    facts = ("Fingerprint: ", "Size: ", "Architecture: ", "    Created: ", "    Uploaded: ")
    before = shell("lxc image info mine").ok().stdout
    shell(
        "lxc image edit mine",
        stdin="architecture: s390x\ncreated_at: 2001-01-01T00:00:00Z\nsize: 1\nfingerprint: ab\n"
        "properties: {os: changed}\n",
    ).ok()
    after = shell("lxc image info mine").ok().stdout
    assert "    os: changed\n" in after
    kept = [[line for line in text.splitlines() if line.startswith(facts)] for text in (before, after)]
    assert kept[0] == kept[1]
    assert len(kept[0]) == len(facts)


@pytest.mark.parametrize("missing", ["architecture", "creation_date"])
def test_h27_metadata_needs_both_facts(shell: Shell, folder: Path, missing: str) -> None:
    metadata = "".join(line for line in images.METADATA.splitlines(True) if not line.startswith(missing))
    images.unified(folder / "bad.tar.gz", metadata=metadata)
    shell("lxc image import bad.tar.gz").failed()


def test_h27_everything_else_is_optional(shell: Shell, folder: Path) -> None:
    shown = yaml.safe_load(images.METADATA)
    del shown["properties"]
    images.unified(folder / "plain.tar.gz", metadata=yaml.safe_dump(shown))
    shell("lxc image import plain.tar.gz").ok()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tar.zst"])
def test_h31_a_unified_tarball_of_any_compression(shell: Shell, folder: Path, suffix: str) -> None:
    plain = images.unified(folder / "plain.tar", metadata=images.METADATA + f"  mark: {folder}{suffix}\n")
    packed = plain.rename(folder / f"image.{suffix}") if suffix == "tar" else folder / f"image.{suffix}"
    packers = {"tar.gz": ["gzip", "-c"], "tar.xz": ["xz", "-0c"], "tar.zst": ["zstd", "-1cq"]}
    if suffix in packers:
        packed.write_bytes(subprocess.run([*packers[suffix], plain], capture_output=True, check=True).stdout)
    fingerprint = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert fingerprint in shell(f"lxc image import {packed.name}").ok().stdout


def test_h30_an_image_made_by_hand_boots(shell: Shell, folder: Path, name: str) -> None:
    made = images.split(folder, metadata=images.METADATA + f"  mark: {folder}\n")[1]
    shell(f"mkdir rootfs meta && tar xzf {made.name} -C rootfs").ok()
    (folder / "meta" / "metadata.yaml").write_text(f"architecture: {os.uname().machine}\ncreation_date: 1424284563\n")
    shell("tar zcf rootfs.tar.gz -C rootfs . && tar zcvf metadata.tar.gz -C meta metadata.yaml").ok()
    shell("lxc image import metadata.tar.gz rootfs.tar.gz --alias by-hand").ok()
    shell(f"lxc launch by-hand {name}").ok()
    assert shell(f"lxc exec {name} -- cat /etc/hostname").ok().stdout.strip() != ""


@pytest.fixture
def u1(shell: Shell, daemon: Daemon, image: str) -> Iterator[str]:
    """A stopped container u1 with a snapshot that is called by a date."""
    shell(f"lxc launch {image} u1 && lxc snapshot u1 2016-03-22 && lxc stop --force u1").ok()
    yield "u1"
    discard(daemon, "u1")


@pytest.mark.parametrize("what", ["u1", "u1/2016-03-22"])
def test_h22_a_container_and_a_snapshot_become_images(shell: Shell, u1: str, what: str) -> None:
    said = shell(f"lxc publish {what} --alias my-new-image").ok().stdout
    assert re.search("^Instance published with fingerprint: [0-9a-f]{64}$", said, re.MULTILINE)
    assert "my-new-image" in shell("lxc image alias list").ok().stdout
    shell("lxc start u1").ok()
    shell("lxc publish u1 --alias some-name").failed()
    shell("lxc publish u1 --force --alias my-forced-image note=another").ok()
    assert "u1,RUNNING" in shell("lxc list -f csv -c ns").ok().stdout


def test_h23_is_private(shell: Shell, u1: str) -> None:
    shell("lxc publish u1/2016-03-22 --alias foo-2.0").ok()
    assert "Public: no\n" in shell("lxc image info foo-2.0").ok().stdout


def test_h24_is_public(shell: Shell, u1: str) -> None:
    shell("lxc publish u1/2016-03-22 --alias foo-2.0 public=true").ok()
    said = shell("lxc image info foo-2.0").ok().stdout
    assert "Public: yes\n" in said
    assert "    os: busybox\n" in said
    assert "public: " not in said


def test_h25_a_published_image_is_edited(shell: Shell, u1: str) -> None:
    shell("lxc publish u1/2016-03-22 --alias foo-2.0").ok()
    shell("lxc image show foo-2.0 | sed 's/^public: false/public: true/' | lxc image edit foo-2.0").ok()
    assert "Public: yes\n" in shell("lxc image info foo-2.0").ok().stdout


def test_h26_from_a_launch_to_an_image_and_back(shell: Shell, daemon: Daemon, image: str) -> None:
    shell(f"lxc image alias create ubuntu-14.04 $(lxc image list -f csv -c F {image})").ok()
    try:
        shell("lxc launch ubuntu-14.04 my-container").ok()
        shell("lxc exec my-container -- sh -c 'echo mine >/root/mine'").ok()
        shell("lxc snapshot my-container some-snapshot && lxc stop --force my-container").ok()
        shell("lxc publish my-container --alias my-new-image").ok()
        shell("lxc publish my-container/some-snapshot --alias some-image name=other").ok()
        shell("lxc launch my-new-image from-image").ok()
        assert shell("lxc exec from-image -- cat /root/mine").ok().stdout == "mine\n"
    finally:
        shell("lxc image alias delete ubuntu-14.04")
        discard(daemon, "my-container")
        discard(daemon, "from-image")
