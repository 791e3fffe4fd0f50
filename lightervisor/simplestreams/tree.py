"""A folder that any static web server makes an image server of: the files of images, and the JSON that lists them.

`images/` has the files, named by their hash; `streams/v1/images.json` the products, `streams/v1/index.json` the index.
A reader never sees half of a change: files come first and go last, and each document is replaced whole. The documents
keep what other tools wrote into them. Source: LXD 5.0.2 and Incus 6.0 as readers, incus-simplestreams(1) as a writer.
"""

import fcntl
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lightervisor.client import simplestreams
from lightervisor.client.simplestreams import METADATA, ROOTS, UNIFIED
from lightervisor.config import architectures
from lightervisor.errors import Conflict, Invalid, NotFound
from lightervisor.model.image import ImageMetadata
from lightervisor.simplestreams.files import File, Incoming, hashes_of

PRODUCTS = "streams/v1/images.json"
Json = dict[str, Any]
_KIND: Json = {"datatype": simplestreams.IMAGES, "format": "products:1.0"}


class Wishes(NamedTuple):
    """How an image is to be offered."""

    aliases: Sequence[str] = ()
    has_default_alias: bool = True
    product: str = ""


class Tree:
    """One such folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self) -> list[Json]:
        """What a client finds there."""
        document = self.folder / PRODUCTS
        if not document.exists():
            return []
        return simplestreams.images([document.read_bytes()], architecture=os.uname().machine)

    def add(self, metadata: Path, root: Path | None, wishes: Wishes) -> str:
        """Offer an image, of one file or two; its fingerprint. The files given stay where they are.

        Raises Invalid for files that are no image or lack properties, Conflict when it is there already.
        """
        with self._changing() as document, Incoming(self.folder / "images") as incoming:
            described, first = incoming.metadata(metadata) if root is not None else incoming.whole(metadata)
            second = incoming.root(root) if root is not None else None
            fingerprint = hashes_of(first.path, second.path)[1] if second else first.sha256
            if any(image["fingerprint"] == fingerprint for image in self.images()):
                raise Conflict("image", fingerprint, text="Image with same fingerprint already exists")
            facts = _facts(described)
            name = wishes.product or ":".join(facts[key] for key in ("os", "release", "variant", "architecture"))
            product: Json = document["products"].setdefault(name, _new_product(facts))
            items: Json = product["versions"].setdefault(_serial(described), {"items": {}})["items"]
            kept = [(first, entry) for entry in _list(items, METADATA if second else UNIFIED, first)]
            if second is not None:
                if second.kind in items:
                    raise Conflict("image", name, text=f'Already have a "{second.kind}" file for this image')
                items[second.kind] = second.listed(second.kind, f"images/{second.sha256}{second.suffix}")
                for _, entry in kept:
                    entry.update(dict.fromkeys(ROOTS[second.kind], fingerprint))
                kept.append((second, items[second.kind]))
            default = "/".join(facts[key] for key in ("os", "release", "variant"))
            _give_aliases(document, name, [default] * wishes.has_default_alias + list(wishes.aliases))
            for file, item in kept:
                incoming.keep(file, self.folder / item["path"])
            self._write(document)
        return fingerprint

    def remove(self, fingerprint: str) -> None:
        """Offer an image no longer, and remove the files that no other one has. Raises NotFound, Invalid."""
        with self._changing() as document:
            found = [str(image["fingerprint"]) for image in self.images()]
            found = [one for one in found if fingerprint and one.startswith(fingerprint)]
            if not found:
                raise NotFound("image", fingerprint, remedy="lxd-simplestreams list shows what there is")
            if len(found) > 1:
                raise Invalid("image", fingerprint, text="Partial fingerprint matches more than one image")
            before = {path for _, path in _paths(document)}
            _forget(document, found[0])
            self._write(document)
            for path in before - {path for _, path in _paths(document)}:
                (self.folder / path).unlink(missing_ok=True)

    def prune(self, older: int, *, is_trial: bool = False) -> list[str]:
        """Forget versions beyond the newest and so many older ones, and files that are not listed; what that was.

        A version's file that is missing is forgotten too. A trial only tells.
        """
        with self._changing() as document:
            told = list(_forget_old(document, older))
            told += list(_forget_missing(document, self.folder))
            listed = {path for _, path in _paths(document)}
            present = sorted(
                str(file.relative_to(self.folder)) for file in self.folder.glob("images/**/*") if file.is_file()
            )
            orphans = [path for path in present if path not in listed]
            if not is_trial:
                self._write(document)
                for path in orphans:
                    (self.folder / path).unlink()
        return [*told, *orphans]

    def problems(self) -> list[str]:
        """What is wrong with the files, one line for each; all of them are read."""
        if not (self.folder / PRODUCTS).exists():
            return []
        document = self._read()
        found = list(self._problems_of_files(document))
        listed = self.folder / simplestreams.INDEX
        if not listed.exists() or PRODUCTS not in simplestreams.product_paths(listed.read_bytes()):
            found.append(f'"{simplestreams.INDEX}" does not list "{PRODUCTS}"')
        return found

    def _problems_of_files(self, document: Json) -> Iterator[str]:
        for items in _items(document):
            usable: dict[str, Path] = {}
            for key, item in items.items():
                problem = self._problem_of(item)
                if problem:
                    yield problem
                else:
                    usable[key] = self.folder / str(item["path"])
            yield from _problems_of_combinations(items, usable)

    def _problem_of(self, item: Json) -> str:
        """What is wrong with one file; empty when nothing is."""
        path = str(item.get("path", ""))
        if not simplestreams.is_safe_path(path):
            return f"{json.dumps(path)} is no path in this folder"
        file = self.folder / path
        if not file.is_file():
            return f'Missing image file "{path}"'
        if file.stat().st_size != item.get("size"):
            return f'File "{path}" has a different size than listed in the index'
        if hashes_of(file)[0] != item.get("sha256"):
            return f'File "{path}" has a different SHA256 hash than listed in the index'
        return ""

    @contextmanager
    def _changing(self) -> Generator[Json, None, None]:
        """The products, to be changed by nobody else meanwhile."""
        for name in ("images", "streams/v1"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "streams/v1", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(descriptor)

    def _read(self) -> Json:
        document = self.folder / PRODUCTS
        try:
            content: Any = json.loads(document.read_bytes()) if document.exists() else _blank()
            for product in content["products"].values():
                for version in product["versions"].values():
                    for item in version["items"].values():
                        item.get("path")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            cause = f"{PRODUCTS} is not a list of products: {type(error).__name__} {error}"
            raise Invalid("image server", cause=cause, remedy="mend the file, or take it away") from error
        return content

    def _write(self, document: Json) -> None:
        now = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
        document["updated"] = now
        entry: Json = {**_KIND, "path": PRODUCTS, "updated": now, "products": sorted(document["products"])}
        self._replace(PRODUCTS, document)
        self._replace(simplestreams.INDEX, {"format": "index:1.0", "index": {"images": entry}, "updated": now})

    def _replace(self, path: str, content: Json) -> None:
        file = self.folder / path
        partial = file.with_name(f".{file.name}")
        with partial.open("w", encoding="utf-8") as target:
            json.dump(content, target, separators=(",", ":"))
            target.flush()
            os.fsync(target.fileno())
        partial.replace(file)


def _blank() -> Json:
    return {"content_id": "images", **_KIND, "products": {}}


def _list(items: Json, kinds: Sequence[str], file: File) -> list[Json]:
    """The entries of a version's metadata, or of its only file, made unless they are there. Raises Conflict.

    Of two names for it LXD knows the one and Incus the other.
    """
    entries: list[Json] = []
    for kind in kinds:
        entry = items.setdefault(kind, file.listed(kind, f"images/{file.sha256}.{kinds[0]}"))
        if entry["sha256"] != file.sha256:
            text = "This version is there already with other metadata"
            remedy = "remove that one, or give this one another creation_date"
            raise Conflict("image", kind, text=text, remedy=remedy)
        entries.append(entry)
    return entries


def _facts(described: ImageMetadata) -> dict[str, str]:
    """The properties that a product is made of. Raises Invalid for one that is missing."""
    facts = {"variant": "default", "architecture": described.architecture, **described.properties}
    for key in ("os", "release", "variant", "architecture"):
        value = facts.get(key, "")
        if not value:
            text = f'Missing property "{key}" in metadata.yaml'
            raise Invalid(
                "image metadata", text=text, remedy="lxd-simplestreams generate-metadata makes one that is whole"
            )
        if "," in value or not value.isprintable():
            raise Invalid("image metadata", cause=f'the property "{key}" cannot be a part of an alias: {value!r}')
    architectures.name_of(facts["architecture"])
    return facts


def _serial(described: ImageMetadata) -> str:
    try:
        return time.strftime("%Y%m%d%H%M", time.gmtime(described.creation_date))
    except (OverflowError, OSError) as error:
        raise Invalid("image metadata", cause=f"creation_date is no date: {described.creation_date}") from error


def _new_product(facts: dict[str, str]) -> Json:
    return {
        "aliases": "",
        "arch": facts["architecture"],
        "os": facts["os"],
        "release": facts["release"],
        "release_title": facts["release"],
        "variant": facts["variant"],
        "versions": {},
    }


def _give_aliases(document: Json, name: str, wanted: Sequence[str]) -> None:
    """Give aliases to a product; another one of its architecture that had one loses it."""
    for alias in wanted:
        if not alias or "," in alias or not alias.isprintable() or any(char.isspace() for char in alias):
            remedy = "no blanks and commas; --no-default-alias leaves out the one made of the properties"
            raise Invalid("alias", alias, cause="it cannot be written in the list", remedy=remedy)
    product = document["products"][name]
    for other in document["products"].values():
        names = [alias for alias in str(other.get("aliases", "")).split(",") if alias]
        if other is product:
            other["aliases"] = ",".join(dict.fromkeys([*names, *wanted]))
        elif other.get("arch") == product["arch"]:
            other["aliases"] = ",".join(alias for alias in names if alias not in wanted)


def _items(document: Json) -> Iterator[Json]:
    """The files of every version of every product."""
    for product in document["products"].values():
        for version in product["versions"].values():
            yield version["items"]


def _paths(document: Json) -> Iterator[tuple[Json, str]]:
    """Every file that is listed, with its path in the folder."""
    for items in _items(document):
        for item in items.values():
            if simplestreams.is_safe_path(str(item.get("path", ""))):
                yield item, str(item["path"])


def _forget(document: Json, fingerprint: str) -> None:
    """Take an image out of the products; versions and products that have none left go with it."""
    for name, product in list(document["products"].items()):
        for serial, version in list(product["versions"].items()):
            _forget_in(version["items"], fingerprint)
            if not version["items"]:
                del product["versions"][serial]
        if not product["versions"]:
            del document["products"][name]


def _forget_in(items: Json, fingerprint: str) -> None:
    for key, item in list(items.items()):
        if item.get("ftype") in UNIFIED and item.get("sha256") == fingerprint:
            del items[key]
    for metadata in [item for item in items.values() if item.get("ftype") in METADATA]:
        for kind, names in ROOTS.items():
            if fingerprint in (metadata.get(name) for name in names):
                for name in names:
                    metadata.pop(name, None)
                for key in [key for key, item in items.items() if item.get("ftype") == kind]:
                    del items[key]
    if not any(item.get("ftype") in (*ROOTS, *UNIFIED) for item in items.values()):
        items.clear()


def _forget_old(document: Json, older: int) -> Iterator[str]:
    for name, product in document["products"].items():
        for serial in sorted(product["versions"], reverse=True)[older + 1 :]:
            del product["versions"][serial]
            yield f"{name}:{serial}"


def _forget_missing(document: Json, folder: Path) -> Iterator[str]:
    for name, product in list(document["products"].items()):
        for serial, version in list(product["versions"].items()):
            items = version["items"]
            for key, item in list(items.items()):
                if not (folder / str(item.get("path", ""))).is_file():
                    del items[key]
                    yield f"{name}:{serial}:{item.get('path', '')}"
            kinds = {item.get("ftype") for item in items.values()}
            if not (kinds & set(UNIFIED) or (kinds & set(METADATA) and kinds & set(ROOTS))):
                del product["versions"][serial]
        if not product["versions"]:
            del document["products"][name]


def _problems_of_combinations(items: Json, usable: dict[str, Path]) -> Iterator[str]:
    """Metadata and root file systems that are right, each for itself, but are not the image that is listed."""
    for key in [key for key, item in items.items() if item.get("ftype") in METADATA and key in usable]:
        for root in [root for root, item in items.items() if item.get("ftype") in ROOTS and root in usable]:
            listed = {items[key][name] for name in ROOTS[items[root]["ftype"]] if items[key].get(name)}
            if listed != {hashes_of(usable[key], usable[root])[1]}:
                yield f'Files "{items[key]["path"]}" and "{items[root]["path"]}" are not the image listed in the index'
