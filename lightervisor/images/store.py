"""The image store: files by fingerprint, rows and aliases. Source: LXD, /1.0/images.

A fingerprint is the sha256 of the file, or of both files in their order when the root file system is apart.
Nothing is in the store before it is whole: a file is renamed into place and then its row is written.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.db.images import ImageRows
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.images import metadata
from lightervisor.images.formats import archive
from lightervisor.kernel import paths
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image, ImagePut
from lightervisor.model.times import EPOCH, now
from lightervisor.storage.driver import StorageDriver

Progress = Callable[[str], None]
BLOCK = 1 << 20


class ExportFile(NamedTuple):
    """One file of an image and the name it is given to clients under."""

    path: Path
    name: str


class Received(NamedTuple):
    """What was uploaded, in the incoming directory: one file, or metadata and root file system."""

    meta: Path
    rootfs: Path | None


class Images:
    """The images of this server."""

    def __init__(self, rows: ImageRows, directory: Path, events: Events) -> None:
        self.rows, self._directory, self._events = rows, directory, events
        self._unpacking: dict[tuple[int, str], asyncio.Lock] = {}

    def start(self) -> None:
        """The daemon starts: make the directories and remove what an earlier daemon left unfinished."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.remove_tree(self.incoming)
        self.incoming.mkdir(mode=0o700)
        known = {image.fingerprint for image in self.rows.list()}
        for entry in self._directory.iterdir():
            if entry.is_file() and entry.name.partition(".")[0] not in known:
                entry.unlink()

    @property
    def incoming(self) -> Path:
        """Where uploads are received before they are known to be whole."""
        return self._directory / ".incoming"

    def fresh_directory(self) -> Path:
        """A new directory for something that is being made; the maker removes it."""
        directory = self.incoming / os.urandom(16).hex()
        directory.mkdir()
        return directory

    def list(self, *, public_only: bool = False) -> "list[Image]":
        """All images, or only the public ones."""
        return [image for image in self.rows.list() if image.public or not public_only]

    def get(self, fingerprint: str) -> Image:
        """The image whose fingerprint begins so. Raises NotFound, and Invalid when several do."""
        return self.rows.get(fingerprint)

    def resolve(self, wanted: str) -> Image:
        """The image of an alias or of a fingerprint's beginning. Raises NotFound."""
        try:
            return self.rows.get(self.rows.alias(wanted).target)
        except NotFound:
            return self.rows.get(wanted)

    async def receive(self, blocks: AsyncIterator[bytes]) -> Path:
        """Write an upload to the incoming directory, with flat memory; the path of the file."""
        target = self.incoming / os.urandom(16).hex()
        with target.open("wb") as file:
            async for block in blocks:
                await asyncio.to_thread(file.write, block)
        return target

    async def add(
        self,
        received: Received,
        put: ImagePut,
        *,
        filename: str = "",
        expected: str = "",
        template: Image | None = None,
    ) -> Image:
        """Take received files into the store. Raises Invalid for a bad image or an unexpected fingerprint.

        `template` gives what cannot be read from the files: cached, aliases and source.
        """
        try:
            text = await asyncio.to_thread(archive.read_metadata, received.meta)
            facts = metadata.parse(text)
            fingerprint, size = await asyncio.to_thread(_fingerprint, received)
            if expected and expected != fingerprint:
                text_of = f"Image fingerprint doesn't match. Got {fingerprint} expected {expected}"
                raise Invalid("image", text=text_of)
            if any(image.fingerprint == fingerprint for image in self.rows.list()):
                raise Failure("image", fingerprint, text="Image with same fingerprint already exists")
            image = msgspec.structs.replace(
                template or Image(),
                fingerprint=fingerprint,
                filename=filename or f"{fingerprint}{archive.SUFFIX[archive.kind_of(received.meta)]}",
                size=size,
                architecture=facts.architecture,
                type="container",
                created_at=_moment(facts.creation_date),
                expires_at=put.expires_at if put.expires_at.year > 1 else _moment(facts.expiry_date),
                uploaded_at=now(),
                last_used_at=EPOCH,
                properties={**facts.properties, **put.properties},
                public=put.public,
                auto_update=put.auto_update,
                profiles=put.profiles or ["default"],
            )
            received.meta.rename(self._directory / fingerprint)
            if received.rootfs is not None:
                received.rootfs.rename(self._directory / f"{fingerprint}.rootfs")
            try:
                await self.rows.add(image)
            except BaseException:
                self._unlink(fingerprint)
                raise
        finally:
            received.meta.unlink(missing_ok=True)
            if received.rootfs is not None:
                received.rootfs.unlink(missing_ok=True)
        self.publish("created", fingerprint, None)
        return image

    def files(self, fingerprint: str) -> "list[ExportFile]":
        """The files of an image, to be exported."""
        image = self.rows.get(fingerprint)
        main, rootfs = self._directory / image.fingerprint, self._directory / f"{image.fingerprint}.rootfs"
        suffix = archive.SUFFIX[archive.kind_of(main)]
        if not rootfs.exists():
            return [ExportFile(main, f"{image.fingerprint}{suffix}")]
        root_suffix = archive.SUFFIX[archive.kind_of(rootfs)]
        return [
            ExportFile(main, f"meta-{image.fingerprint}{suffix}"),
            ExportFile(rootfs, f"{image.fingerprint}{root_suffix}"),
        ]

    async def ensure_unpacked(self, fingerprint: str, driver: StorageDriver, progress: Progress) -> None:
        """Unpack an image in a pool unless it is there; two that want the same wait for one."""
        key = (id(driver), fingerprint)
        async with self._unpacking.setdefault(key, asyncio.Lock()):
            if driver.has_image(fingerprint):
                return
            progress("Unpack: 0%")
            await asyncio.to_thread(driver.create_image, fingerprint, lambda target: self._unpack(fingerprint, target))
            progress("Unpack: 100%")

    def _unpack(self, fingerprint: str, target: Path) -> None:
        rootfs = self._directory / f"{fingerprint}.rootfs"
        archive.unpack(self._directory / fingerprint, target)
        if rootfs.exists():
            (target / "rootfs").mkdir(exist_ok=True)
            archive.check_tree(target)
            archive.unpack(rootfs, target / "rootfs")
        archive.check_tree(target)

    async def replace(self, fingerprint: str, put: ImagePut, requestor: EventLifecycleRequestor | None = None) -> None:
        """PUT: replace what a user may change."""
        image = self.rows.get(fingerprint)
        await self.rows.replace(
            msgspec.structs.replace(
                image,
                auto_update=put.auto_update,
                properties=put.properties,
                public=put.public,
                expires_at=put.expires_at if put.expires_at.year > 1 else image.expires_at,
                profiles=put.profiles or ["default"],
            )
        )
        self.publish("updated", image.fingerprint, requestor)

    async def mark_used(self, fingerprint: str) -> None:
        """Note that an instance was just made from an image."""
        await self.rows.replace(msgspec.structs.replace(self.rows.get(fingerprint), last_used_at=now()))

    async def delete(self, fingerprint: str, drivers: "list[StorageDriver]") -> None:
        """Remove an image, its files and what is unpacked of it."""
        image = self.rows.get(fingerprint)
        await self.rows.delete(image.fingerprint)
        self._unlink(image.fingerprint)
        for driver in drivers:
            await asyncio.to_thread(driver.delete_image, image.fingerprint)

    def _unlink(self, fingerprint: str) -> None:
        for name in (fingerprint, f"{fingerprint}.rootfs"):
            (self._directory / name).unlink(missing_ok=True)

    def publish(self, action: str, fingerprint: str, requestor: EventLifecycleRequestor | None) -> None:
        """Tell listeners what happened to an image."""
        self._events.lifecycle(f"image-{action}", f"/1.0/images/{fingerprint}", project="default", requestor=requestor)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(max(0, seconds), UTC)


def _fingerprint(received: Received) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for path in (received.meta, received.rootfs):
        if path is None:
            continue
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    return digest.hexdigest(), size
