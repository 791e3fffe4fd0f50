"""Simplestreams, the format of image servers that are plain web servers: from its JSON to images as the API has them.

Pure functions over bytes; who fetches and keeps the documents is not told here. Nothing in a document is trusted: an
entry that is malformed, of another kind (deltas, other architectures) or that points outside its server is left out,
so that one bad entry does not hide the others. Source: LXD 5.0, shared/simplestreams, and its answers to our trees.
"""

from __future__ import annotations

from lightervisor.client import light_json
from lightervisor.config import architectures
from lightervisor.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Image = dict[str, Any]
    File = dict[str, Any]

INDEX = "streams/v1/index.json"
IMAGES = "image-downloads"
"""The type of data that an index has for images."""
LARGEST = 64 << 20
"""Bytes of a document that a reader need not go beyond; Ubuntu's are 3 MB."""
_LARGEST_FILE = 1 << 44
METADATA = ("lxd.tar.xz", "incus.tar.xz")
UNIFIED = ("lxd_combined.tar.gz", "incus_combined.tar.gz")
"""Kinds of files with metadata.yaml: what LXD and what Incus calls them; a server may have the same one twice."""
ROOTS = {
    "squashfs": ("combined_squashfs_sha256",),
    "root.tar.xz": ("combined_rootxz_sha256", "combined_sha256"),
    "disk-kvm.img": ("combined_disk-kvm-img_sha256",),
    "disk1.img": ("combined_disk1-img_sha256",),
    "uefi1.img": ("combined_uefi1-img_sha256",),
}
"""Kinds of root file systems, the preferred first, and where the metadata's entry has the hash of both files."""
_LAST = "\U0010ffff"
_HEX = frozenset("0123456789abcdef")
_DEFAULT_OS = {"https://cloud-images.ubuntu.com": "ubuntu"}
_NEVER = "0001-01-01T00:00:00Z"
_UNLIMITED = "1970-01-01T00:00:00Z"


def product_paths(index: bytes) -> list[str]:
    """The product files of images that an index lists, as paths on its server. Raises Invalid."""
    entries = _mapping(_document(index, "index").get("index"))
    found = [
        _text(entry.get("path"))
        for entry in map(_mapping, entries.values())
        if entry.get("datatype") == IMAGES and _names(entry.get("products"))
    ]
    return [path for path in dict.fromkeys(found) if is_safe_path(path)]


def images(documents: Iterable[bytes], *, architecture: str, default_os: str = "") -> list[Image]:
    """The images of product files, the preferred of several first.

    Each is an entry of GET /1.0/images (the type is in it) and has `files` beside: `[{ftype, path, sha256, size}]`,
    the metadata's or the unified file first. An alias without an architecture means `architecture` (the kernel's name);
    `default_os` is left out at an alias's beginning. Raises Invalid for a document that is none of products.
    """
    found: dict[str, Image] = {}
    for document in documents:
        for product in map(_mapping, _mapping(_document(document, "list of products").get("products")).values()):
            for image in _of_product(product):
                found.setdefault(str(image["fingerprint"]), image)
    ordered = sorted(found.values(), key=_age, reverse=True)
    ordered.sort(key=_place)
    _name_all(ordered, architecture, default_os)
    return ordered


def find(listed: Iterable[Image], name: str, *, kind: str = "") -> Image | None:
    """The image of an alias, of that type when one is given (else containers first), or of a fingerprint's beginning.

    Raises Invalid when several fingerprints begin so.
    """
    candidates = [image for image in listed if not kind or image["type"] == kind]
    for image in sorted(candidates, key=lambda image: str(image["type"])):
        if any(alias["name"] == name for alias in image["aliases"]):
            return image
    matching = [image for image in candidates if name and str(image["fingerprint"]).startswith(name)]
    if len(matching) > 1:
        raise Invalid("image", name, text="Partial fingerprint matches more than one image")
    return matching[0] if matching else None


def default_os(address: str) -> str:
    """The system that a server's aliases need not name: `ubuntu/22.04` is `22.04` on Ubuntu's own."""
    for prefix, name in _DEFAULT_OS.items():
        if address == prefix or address.startswith(f"{prefix}/"):
            return name
    return ""


def is_safe_path(path: str) -> bool:
    """Whether a path stays below its server's address and is nothing but a path; times in paths have colons."""
    plain = path.isascii() and path.isprintable() and not any(char in path for char in "\\?#% ")
    return plain and bool(path) and not any(part in ("", ".", "..") for part in path.split("/"))


def is_fingerprint(text: str) -> bool:
    """Whether a text is a SHA-256 in small hexadecimal digits."""
    return len(text) == 64 and _HEX.issuperset(text)


def _of_product(product: dict[str, Any]) -> Iterator[Image]:
    try:
        architecture = architectures.name_of(_text(product.get("arch")))
    except Invalid:
        return
    names = [name for name in _text(product.get("aliases")).split(",") if name]
    for serial, version in _mapping(product.get("versions")).items():
        created = _day(serial)
        if not created:
            continue
        items = map(_mapping, _mapping(_mapping(version).get("items")).values())
        files = [file for item in items if (file := _file(item))]
        for fingerprint, chosen in _variants(files):
            kind = chosen[-1]["ftype"] if len(chosen) > 1 else "tar.gz"
            properties = _properties(product, _text(_mapping(version).get("label")), serial, kind)
            yield {
                "auto_update": False,
                "properties": properties,
                "public": True,
                "expires_at": _expiry(product),
                "profiles": [],
                "aliases": [{"name": name, "description": ""} for name in names],
                "architecture": architecture,
                "cached": False,
                "filename": chosen[0]["path"].rpartition("/")[2],
                "fingerprint": fingerprint,
                "size": sum(file["size"] for file in chosen),
                "type": "virtual-machine" if kind.endswith(".img") else "container",
                "created_at": created,
                "last_used_at": _NEVER,
                "uploaded_at": created,
                "files": [{key: file[key] for key in ("ftype", "path", "sha256", "size")} for file in chosen],
            }


def _variants(files: list[File]) -> Iterator[tuple[str, list[File]]]:
    """Each image that a version's files make, with its fingerprint; the kind of root file system we prefer first."""
    for unified in (file for file in files if file["ftype"] in UNIFIED):
        yield unified["sha256"], [unified]
    for metadata in (file for file in files if file["ftype"] in METADATA):
        for kind, keys in ROOTS.items():
            fingerprint = next((text for key in keys if (text := _text(metadata["item"].get(key)))), "")
            root = next((file for file in files if file["ftype"] == kind), None)
            if root is not None and is_fingerprint(fingerprint):
                yield fingerprint, [metadata, root]


def _file(item: dict[str, Any]) -> File | None:
    """A version's file, if it is one that images are made of and all that is said of it can be."""
    kind, path = _text(item.get("ftype")), _text(item.get("path"))
    digest, size = _text(item.get("sha256")), item.get("size")
    if kind not in METADATA and kind not in UNIFIED and kind not in ROOTS:
        return None
    if type(size) is not int or not 0 < size <= _LARGEST_FILE or not is_fingerprint(digest) or not is_safe_path(path):
        return None
    return {"ftype": kind, "path": path, "sha256": digest, "size": size, "item": item}


def _properties(product: dict[str, Any], label: str, serial: str, kind: str) -> dict[str, str]:
    title = _text(product.get("release_title")) or _text(product.get("release"))
    described = f"{_text(product.get('os'))} {title} {_text(product.get('arch'))}"
    described += f" ({label}) ({serial})" if label else f" ({serial})"
    known = {
        "architecture": _text(product.get("arch")),
        "description": described,
        "label": label,
        "os": _text(product.get("os")),
        "release": _text(product.get("release")),
        "serial": serial,
        "type": kind,
        "variant": _text(product.get("variant")),
        "version": _text(product.get("version")),
    }
    for key, value in _mapping(product.get("lxd_requirements") or product.get("requirements")).items():
        known[f"requirements.{key}"] = _text(value)
    return {key: value for key, value in sorted(known.items()) if value}


def _age(image: Image) -> tuple[str, str]:
    return str(image["created_at"]), str(image["properties"]["serial"])


def _place(image: Image) -> tuple[str, str]:
    """Where an image stands apart from its age: LXD's order, by system and release, those without at the end."""
    properties = image["properties"]
    return properties.get("os", _LAST), properties.get("release", _LAST)


def _name_all(ordered: list[Image], architecture: str, default_os: str) -> None:
    """Leave each alias to the first image of its type and architecture that has it, the newest.

    An alias stands twice: with the architecture behind it, and alone for this one's.
    """
    taken: set[tuple[str, str, str]] = set()
    for image in ordered:
        names: list[Any] = image["aliases"]
        kept: list[Any] = []
        image["aliases"] = kept
        suffix = image["properties"]["architecture"]
        for alias in names:
            name = str(alias["name"]).removeprefix(f"{default_os}/") if default_os else str(alias["name"])
            for spelled in (
                (name, f"{name}/{suffix}") if image["architecture"] == architecture else (f"{name}/{suffix}",)
            ):
                key = (str(image["type"]), str(image["architecture"]), spelled)
                if key not in taken:
                    taken.add(key)
                    kept.append({"name": spelled, "description": ""})


def _expiry(product: dict[str, Any]) -> str:
    return _day(_text(product.get("support_eol")).replace("-", "")) or _UNLIMITED


def _day(serial: str) -> str:
    """The day that a version's name begins with, as the API writes times; empty when it is none."""
    year, month, day = serial[:4], serial[4:6], serial[6:8]
    if not (serial[:8].isascii() and serial[:8].isdecimal() and len(serial) >= 8):
        return ""
    is_leap = int(year) % 4 == 0 and (int(year) % 100 != 0 or int(year) % 400 == 0)
    length = 28 + is_leap if month == "02" else 30 if month in ("04", "06", "09", "11") else 31
    is_day = int(year) > 0 and 1 <= int(month) <= 12 and 1 <= int(day) <= length
    return f"{year}-{month}-{day}T00:00:00Z" if is_day else ""


def _document(content: bytes, what: str) -> dict[str, Any]:
    try:
        document = light_json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"simplestreams {what}", cause=str(error)) from error
    if not isinstance(document, dict):
        raise Invalid(f"simplestreams {what}", cause="it is not a JSON object")
    return _mapping(document)


def _mapping(value: Any) -> dict[str, Any]:
    unchanged: Any = value  # what isinstance would make of it has no types inside
    return unchanged if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """A text of one line; anything else counts as absent."""
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 4096 else ""


def _names(value: Any) -> list[Any]:
    unchanged: Any = value
    return unchanged if isinstance(value, list) else []
