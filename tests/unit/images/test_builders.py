"""What can be built, and that each product has all that its image refers to."""

from __future__ import annotations

import io
import tarfile

import pytest

from lightervisor.images.builders import debian
from lightervisor.images.builders.archive import Archive
from lightervisor.images.builders.builder import builders

PRODUCTS = [product for builder in builders() for product in builder.products()]


def test_no_name_means_two_images() -> None:
    names = [alias for product in PRODUCTS for alias in product.aliases]
    assert len(names) == len(set(names))


def test_the_documented_names_are_there() -> None:
    kept = {product.alias for product in PRODUCTS}
    assert kept >= {"busybox", "debian/12", "debian/12/cloud", "debian/13", "debian/13/cloud"}
    aliases = {alias: product.alias for product in PRODUCTS for alias in product.aliases}
    assert aliases["debian/bookworm"] == aliases["debian/12/default"] == "debian/12"
    assert aliases["debian/trixie/cloud"] == "debian/13/cloud"


@pytest.mark.parametrize("variants", [("default",), ("default", "cloud")])
def test_every_template_that_an_image_names_has_its_file(variants: tuple[str, ...]) -> None:
    named = debian.TEMPLATES | (debian.CLOUD_TEMPLATES if "cloud" in variants else {})
    wanted = {one.template for one in named.values()}
    there = {path.name for variant in variants for path in (debian.FILES / "templates" / variant).iterdir()}
    assert wanted == there


def test_hooks_can_be_run() -> None:
    hooks = list((debian.FILES / "hooks").iterdir())
    assert hooks
    assert all(hook.stat().st_mode & 0o111 for hook in hooks)


def packed() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as file:
        archive = Archive(file, 1_700_000_000)
        archive.directory("bin", 0o711)
        archive.file("bin/tool", b"#!/bin/sh\n", 0o755)
        archive.link("sh", "/bin/tool")
    return target.getvalue()


def test_an_archive_tells_nothing_about_who_packed_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed())) as file:
        members = file.getmembers()
    assert [(m.name, m.mode, m.linkname) for m in members] == [
        ("bin", 0o711, ""),
        ("bin/tool", 0o755, ""),
        ("sh", 0o644, "/bin/tool"),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 1_700_000_000)}
    assert packed() == packed()
