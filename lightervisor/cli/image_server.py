"""A simplestreams remote: its images, read from its web server or, when nothing changed there, from what we kept.

What was read is kept in the configuration's folder as the images it came to. Each use asks the server whether its
documents are still the same, which costs one connection; a server that cannot be reached is answered for by what was
kept, and the user is told.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import time
from pathlib import Path

from lightervisor.cli import remote as remotes
from lightervisor.client import simplestreams
from lightervisor.client.light_web import Web
from lightervisor.errors import Failure, Invalid, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from lightervisor.cli.session import Session
    from lightervisor.client.simplestreams import Image

    class Hash(Protocol):
        """What hashlib makes."""

        def update(self, data: bytes, /) -> None: ...  # noqa: D102
        def hexdigest(self) -> str: ...  # noqa: D102


_FORM = 1
"""Of what is kept; another one's is read anew."""
# What of an answer tells a later request whether the document changed, and how it is asked.
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


class ImageServer:
    """One remote that speaks simplestreams."""

    def __init__(self, session: Session, remote: str) -> None:
        settings = session.config.remote(remote)
        self._session, self._remote, self.address = session, remote, str(settings["addr"])
        pinned = remotes.certificate(session.config, remote)
        self.web = Web(self.address, pinned=pinned if pinned.exists() else None, user_agent=user_agent())
        self.web.trace = session.debug if session.is_debug else None
        self._place = remotes.memory(session.config, remote)
        self._images: list[Image] | None = None

    def images(self) -> list[Image]:
        """All images, as `simplestreams.images` tells them. Raises Failure; offline what was kept is returned."""
        if self._images is None:
            self._images = self._current()
        return self._images

    def find(self, name: str, *, kind: str = "") -> Image:
        """An image by alias or fingerprint, of that type. Raises NotFound with LXD's text."""
        found = simplestreams.find(self.images(), name, kind=kind)
        if found is None:
            text = "Failed getting image: The requested image couldn't be found"
            raise NotFound("image", name, text=text, remedy=f"lxc image list {self._remote}: shows what there is")
        return found

    def remembered(self) -> list[Image]:
        """What was kept of the server, which is not asked: for completion."""
        return self._kept().get("images", [])

    def download(self, image: Image) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The files of an image, the metadata first: name and content, to be read one after the other.

        A file whose size or hash is not as listed, and files that are not the image, end with Invalid after the last
        block; nothing of them may have been used before.
        """
        whole = hashlib.sha256()
        for index, file in enumerate(image["files"]):
            is_last = index + 1 == len(image["files"])
            yield file["path"].rpartition("/")[2], self._checked(file, whole, image["fingerprint"] if is_last else "")

    def _checked(self, file: dict[str, Any], whole: Hash, fingerprint: str) -> Iterator[bytes]:
        own, left = hashlib.sha256(), int(file["size"])
        for block in self.web.blocks(self.web.get(file["path"])):
            own.update(block)
            whole.update(block)
            left -= len(block)
            if left < 0:
                break
            yield block
        if left or own.hexdigest() != file["sha256"] or (fingerprint and whole.hexdigest() != fingerprint):
            self.web.close()
            cause = f"{file['path']} is not what the server's list says"
            raise Invalid("image", cause=cause, remedy="tell who runs the server, or try again later")

    def _current(self) -> list[Image]:
        kept = self._kept()
        try:
            documents = self._read(kept)
        except Unavailable as failure:
            if not kept:
                raise _wrapped(failure) from failure
            day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept["read_at"]))
            self._session.warn(f"{failure.sentence()}; this is what {self._remote}: had on {day}")
            return kept["images"]
        except Failure as failure:
            raise _wrapped(failure) from failure
        finally:
            self.web.close()
        if documents is None:
            return kept["images"]
        contents, validators = documents
        images = simplestreams.images(
            contents, architecture=os.uname().machine, default_os=simplestreams.default_os(self.address)
        )
        self._keep(images, validators)
        return images

    def _read(self, kept: dict[str, Any]) -> tuple[list[bytes], dict[str, dict[str, str]]] | None:
        """The product files and the documents' validators, or None when nothing changed since they were kept."""
        known: dict[str, dict[str, str]] = kept.get("validators", {})
        index, said = self._document(simplestreams.INDEX, known.get(simplestreams.INDEX, {}))
        if index is None:
            paths = [path for path in known if path != simplestreams.INDEX]
        else:
            paths = simplestreams.product_paths(index)
            if paths != [path for path in known if path != simplestreams.INDEX]:
                known = {}
        read = {path: self._document(path, known.get(path, {})) for path in paths}
        validators = {simplestreams.INDEX: said, **{path: one for path, (_, one) in read.items()}}
        if known and all(content is None for content, _ in read.values()):
            return None
        contents = [self._document(path, {})[0] if content is None else content for path, (content, _) in read.items()]
        return [content for content in contents if content is not None], validators

    def _document(self, path: str, known: dict[str, str]) -> tuple[bytes | None, dict[str, str]]:
        """A document, or None when it is the known one; and what tells whether it changes later."""
        asked = {_VALIDATORS[name]: value for name, value in known.items()}
        response = self.web.get(path, {"Accept-Encoding": "gzip", **asked})
        if response.status == 304 and known:
            response.read()
            return None, known
        content = self.web.content(response, limit_bytes=simplestreams.LARGEST)
        return content, {name: response.headers[name] for name in _VALIDATORS if name in response.headers}

    def _kept(self) -> dict[str, Any]:
        try:
            of, kept = marshal.loads(self._place.read_bytes())  # noqa: S302 - our own file, in the user's own folder
        except (OSError, ValueError, EOFError, TypeError):
            return {}
        return kept if of == (_FORM, self.address) else {}

    def _keep(self, images: list[Image], validators: dict[str, dict[str, str]]) -> None:
        """Keep what was read; where nothing can be written, it is read anew the next time."""
        partial = self._place.with_name(f".{self._place.name}.{os.getpid()}")
        kept = {"read_at": int(time.time()), "validators": validators, "images": images}
        try:
            self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.write_bytes(marshal.dumps(((_FORM, self.address), kept)))
            partial.replace(self._place)
        except OSError:
            try:
                partial.unlink(missing_ok=True)
            except OSError:
                return


def _wrapped(failure: Failure) -> Failure:
    text = f"Failed parsing stream: {failure.sentence()}"
    return type(failure)(failure.kind, failure.name, text=text, remedy=failure.remedy)


def user_agent() -> str:
    """How LXD's client introduces itself to image servers, which count what they serve by it."""
    host = os.uname()
    words = [host.sysname, host.machine, host.release.partition("-")[0], *_distribution()]
    return f"LXD 5.0.2 ({'; '.join(words)})"


def _distribution() -> list[str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    facts = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    return [
        word for key in ("NAME", "VERSION_ID") if (word := facts.get(key, "")).isascii() and word.isprintable() and word
    ]
