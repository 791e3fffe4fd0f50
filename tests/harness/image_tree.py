"""Image servers that are plain web servers: a simplestreams tree with one product, whose versions a test adds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness import images
from tests.harness.web import Web

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


class Tree:
    """A simplestreams tree on a server, below a path (`/releases`), with one product of these aliases."""

    def __init__(self, web: Web, folder: Path, *, below: str = "", aliases: str = "box,box/1") -> None:
        self.web, self.folder, self.versions = web, folder, dict[str, Any]()
        self.below, self.aliases = below, aliases

    def add(self, serial: str, *, extra: Mapping[str, bytes] | None = None) -> str:
        """Another version, whose fingerprint this is."""
        place = self.folder / serial
        place.mkdir()
        metadata = images.METADATA + f"  mark: {self.folder.name}-{serial}\n"
        meta, rootfs = images.split(place, metadata=metadata, extra=extra)
        both = hashlib.sha256(meta.read_bytes() + rootfs.read_bytes()).hexdigest()
        items = {}
        for kind, file in (("lxd.tar.xz", meta), ("root.tar.xz", rootfs)):
            path = f"images/{serial}/{kind}"
            self.web.pages[f"{self.below}/{path}"] = file.read_bytes()
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            items[kind] = {"ftype": kind, "path": path, "sha256": digest, "size": file.stat().st_size}
        items["lxd.tar.xz"]["combined_rootxz_sha256"] = both
        self.versions[serial] = {"items": items}
        self.write()
        return both

    def write(self) -> None:
        """Publish the versions as they are now."""
        product = {
            "aliases": self.aliases, "arch": MACHINE, "os": "Box", "release": "1", "release_title": "1",
            "version": "1", "versions": self.versions,
        }  # fmt: skip
        index = {"images": {"datatype": "image-downloads", "path": "streams/v1/images.json", "products": ["box"]}}
        self.web.pages[f"{self.below}/streams/v1/index.json"] = json.dumps(
            {"index": index, "format": "index:1.0"}
        ).encode()
        document = {"products": {"box": product}, "format": "products:1.0", "datatype": "image-downloads"}
        self.web.pages[f"{self.below}/streams/v1/images.json"] = json.dumps(document).encode()

    def source(self, **more: str) -> dict[str, str]:
        """What a request says to fetch from here."""
        return {
            "type": "image", "mode": "pull", "server": f"{self.web.url}{self.below}", "protocol": "simplestreams",
            "alias": "box", "certificate": self.web.certificate, **more,
        }  # fmt: skip
