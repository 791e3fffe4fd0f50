"""Images from other servers: what comes, what is refused, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.daemon import Daemon
from tests.harness.web import Web, serving


@pytest.fixture
def no_images(daemon: Daemon) -> Iterator[None]:
    """What the test added is deleted."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)
    assert not list((daemon.state / "images/.incoming").iterdir())


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


class Tree:
    """A simplestreams tree on a server, with one product."""

    def __init__(self, web: Web, folder: Path) -> None:
        self.web, self.folder, self.versions = web, folder, dict[str, Any]()

    def add(self, serial: str, *, mark: str = "") -> str:
        """Another version, whose fingerprint this is."""
        place = self.folder / serial
        place.mkdir()
        meta, rootfs = images.split(place, metadata=images.METADATA + f"  mark: {self.folder.name}-{serial}{mark}\n")
        both = hashlib.sha256(meta.read_bytes() + rootfs.read_bytes()).hexdigest()
        items = {}
        for kind, file in (("lxd.tar.xz", meta), ("root.tar.xz", rootfs)):
            path = f"images/{serial}/{kind}"
            self.web.pages[f"/{path}"] = file.read_bytes()
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            items[kind] = {"ftype": kind, "path": path, "sha256": digest, "size": file.stat().st_size}
        items["lxd.tar.xz"]["combined_rootxz_sha256"] = both
        self.versions[serial] = {"items": items}
        self.write()
        return both

    def write(self) -> None:
        """Publish the versions as they are now."""
        product = {
            "aliases": "box,box/1", "arch": images_arch(), "os": "Box", "release": "1", "release_title": "1",
            "version": "1", "versions": self.versions,
        }  # fmt: skip
        index = {"images": {"datatype": "image-downloads", "path": "streams/v1/images.json", "products": ["box"]}}
        self.web.pages["/streams/v1/index.json"] = json.dumps({"index": index, "format": "index:1.0"}).encode()
        document = {"products": {"box": product}, "format": "products:1.0", "datatype": "image-downloads"}
        self.web.pages["/streams/v1/images.json"] = json.dumps(document).encode()

    def source(self, **more: str) -> dict[str, str]:
        """What a request says to fetch from here."""
        return {
            "type": "image", "mode": "pull", "server": self.web.url, "protocol": "simplestreams", "alias": "box",
            "certificate": self.web.certificate, **more,
        }  # fmt: skip


def images_arch() -> str:
    """The distributions' word for this machine."""
    import platform

    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@pytest.fixture
def tree(web: Web, tmp_path: Path) -> Tree:
    return Tree(web, tmp_path)


def keep(daemon: Daemon, source: dict[str, str], **more: object) -> dict[str, Any]:
    """POST /1.0/images, waited for."""
    return daemon.operation("POST", "/1.0/images", {"source": source, **more})


def files(web: Web) -> list[str]:
    """The files of images that the server was asked for."""
    return [path for method, path, _ in web.seen if method == "GET" and path.startswith("/images/")]


def test_an_image_of_simplestreams_is_copied(daemon: Daemon, no_images: None, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    done = keep(daemon, tree.source(), aliases=[{"name": "t-box"}], auto_update=True, public=True)
    assert done["err"] == ""
    assert done["metadata"]["fingerprint"] == fingerprint
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"], image["public"]) == (False, True, True)
    assert [alias["name"] for alias in image["aliases"]] == ["t-box"]
    assert image["properties"]["os"] == "Box"
    assert image["created_at"].startswith("2026-01-01T00:00:00")
    source = image["update_source"]
    assert (source["server"], source["protocol"], source["alias"]) == (tree.web.url, "simplestreams", "box")
    assert "LXD 5.0" in tree.web.seen[0][2]["user-agent"]
