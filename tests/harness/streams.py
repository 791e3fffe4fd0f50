"""What simplestreams servers say: products as Ubuntu's and linuxcontainers' servers write them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Json = dict[str, Any]


def digest(text: str) -> str:
    """Some SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def item(kind: str, place: str, size: int, **more: str) -> Json:
    """One file of a version."""
    return {"ftype": kind, "path": f"{place}/{kind}", "sha256": digest(f"{place}/{kind}"), "size": size, **more}


def version(place: str, *, label: str = "") -> Json:
    """A version with every kind of root file system, and a delta, which nobody here reads."""
    combined = {
        "combined_sha256": digest(f"{place} xz"),
        "combined_rootxz_sha256": digest(f"{place} xz"),
        "combined_squashfs_sha256": digest(f"{place} squashfs"),
        "combined_disk-kvm-img_sha256": digest(f"{place} disk"),
    }
    items = {
        "lxd.tar.xz": item("lxd.tar.xz", place, 1000, **combined),
        "rootfs.tar.xz": item("root.tar.xz", place, 300_000_000),
        "root.squashfs": item("squashfs", place, 200_000_000),
        "disk.qcow2": item("disk-kvm.img", place, 400_000_000),
        "delta": item("squashfs.vcdiff", place, 400, delta_base="20260101_0000"),
    }
    return {"items": items, **({"label": label} if label else {})}


def product(
    system: str, release: str, architecture: str, aliases: str, *serials: str, label: str = "", **more: Any
) -> tuple[str, Json]:
    """A product's name and what is said of it."""
    place = f"images/{system.lower()}/{release}/{architecture}"
    return f"{system.lower()}:{release}:{architecture}:default", {
        "aliases": aliases,
        "arch": architecture,
        "os": system,
        "release": release,
        "release_title": release,
        "versions": {serial: version(f"{place}/{serial}", label=label) for serial in serials},
        **more,
    }


def products(*listed: tuple[str, Json]) -> bytes:
    """A product file."""
    content = {"content_id": "images", "datatype": "image-downloads", "format": "products:1.0"}
    return json.dumps({**content, "products": dict(listed)}).encode()


def index(*paths: str, datatype: str = "image-downloads") -> bytes:
    """An index of product files."""
    entry = {"datatype": datatype, "format": "products:1.0", "products": ["some"]}
    return json.dumps({"format": "index:1.0", "index": {path: {**entry, "path": path} for path in paths}}).encode()
