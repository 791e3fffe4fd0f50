"""A folder of `lxd-simplestreams` behind a web server: LXD and Incus list it, launch from it and copy."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images, processes
from tests.harness.client_lxc import Lxc
from tests.harness.processes import REPOSITORY
from tests.harness.web import Web
from tests.peers.conftest import Site, marked

PROGRAM = REPOSITORY / "bin/lxd-simplestreams"
ARCHIVE = ["sh", "-c", 'mkdir "$2" && tar -xf "$1" -C "$2"', "sh"]


class Tree:
    """The folder and where it is served."""

    def __init__(self, web: Web, folder: Path) -> None:
        self._web, self.folder = web, folder
        self._prefix = f"/{secrets.token_hex(4)}"
        self.url = web.url + self._prefix
        folder.mkdir()

    def run(self, *words: str | Path) -> str:
        """One command of lxd-simplestreams, and its outcome to the web server."""
        said = processes.run(["sh", "-c", 'cd "$1" && shift && "$@"', "sh", self.folder, PROGRAM, *words]).ok().stdout
        for path in [path for path in self._web.pages if path.startswith(f"{self._prefix}/")]:
            del self._web.pages[path]
        for file in self.folder.rglob("*"):
            if file.is_file():
                self._web.pages[f"{self._prefix}/{file.relative_to(self.folder)}"] = file
        return said

    def asked(self) -> list[str]:
        """The files of images that were fetched."""
        return [path for method, path, _ in self._web.seen if method == "GET" and f"{self._prefix}/images/" in path]


@pytest.fixture
def tree(web: Web, tmp_path: Path) -> Iterator[Tree]:
    """An empty folder, served."""
    yield Tree(web, tmp_path / "tree")
    web.forget()


def metadata() -> str:
    """Metadata with what lxd-simplestreams asks of it."""
    return marked().replace("os: busybox", "os: Busybox\n  variant: default")


def make(folder: Path, kind: str) -> list[Path]:
    """The files of an image of this kind."""
    folder.mkdir()
    if kind == "unified":
        return [images.unified(folder / "image.tar.gz", metadata=metadata())]
    meta, rootfs = images.split(folder, metadata=metadata())
    root = folder / "rootfs"
    processes.run([*ARCHIVE, rootfs, root]).ok()
    if kind == "squashfs":
        processes.run(["mksquashfs", root, folder / "root.squashfs", "-quiet", "-no-progress", "-noappend"]).ok()
        return [meta, folder / "root.squashfs"]
    packed = ["tar", "--use-compress-program=xz -0", "-cf", folder / "root.tar.xz", "-C", root, "."]
    processes.run(packed).ok()
    return [meta, folder / "root.tar.xz"]


@pytest.mark.parametrize("kind", ["unified", "squashfs", "tar.xz"])
def test_a_folder_is_an_image_server(tree: Tree, theirs: Site, native: Lxc, tmp_path: Path, kind: str) -> None:
    tree.run("add", *make(tmp_path / "image", kind), "--alias", "box", "--alias", "box/1")
    native("remote", "add", "streams", tree.url, "--protocol", "simplestreams").ok()
    try:
        listed = native("image", "list", "streams:box", "-f", "csv").ok().stdout
        native("launch", "streams:box", "theirs:c1").ok()
        assert theirs.status("c1") == "Running"
        (fingerprint,) = theirs.fingerprints()
        assert fingerprint[:12] in listed
        assert fingerprint[:12] in tree.run("list")
        image = theirs.image(fingerprint)
        assert image["cached"]
        assert image["update_source"]["alias"] == "box"
        fetched = len(tree.asked())
        native("init", "streams:box/1", "theirs:c2").ok()
        assert theirs.fingerprints() == [fingerprint]
        assert len(tree.asked()) == fetched
        native("image", "copy", "streams:box", "theirs:", "--copy-aliases", "--auto-update").ok()
        assert theirs.image("box/1")["auto_update"]
    finally:
        native("remote", "remove", "streams").ok()
