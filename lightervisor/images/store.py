"""The image store: files by fingerprint, and their rows. Source: LXD, /1.0/images.

Nothing is in the store before it is whole: files are renamed into place, then the row is written; what has no row
when the daemon starts is removed. Deleting goes the other way round.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.db.images import ImageRows
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.images import upload
from lightervisor.images.formats.format import format_of
from lightervisor.images.holds import Holds
from lightervisor.images.meter import Limits, Meter, Progress
from lightervisor.images.sandbox import end_orphans
from lightervisor.images.unpack import inspect, unpack
from lightervisor.images.upload import Part, Received
from lightervisor.kernel import paths
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image, ImagePut
from lightervisor.model.times import EPOCH, now
from lightervisor.storage.driver import StorageDriver


class ExportFile(NamedTuple):
    """One file of an image and the name it is given to clients under."""

    path: Path
    name: str


class Images:
    """The images of this server."""

    def __init__(self, rows: ImageRows, directory: Path, events: Events, limits: Limits | None = None) -> None:
        self.rows, self._directory, self._events = rows, directory, events
        self._limits = limits or Limits()
        self._holds = Holds()
        self._unpacking: dict[tuple[int, str], asyncio.Lock] = {}

    def start(self) -> None:
        """The daemon starts: make the directories and remove what an earlier daemon left unfinished."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_orphans(self._directory.parent)
        paths.remove_tree(self.incoming)
        self.incoming.mkdir(mode=0o700)
        known = {image.fingerprint for image in self.rows.list()}
        for entry in self._directory.iterdir():
            if entry.is_file() and entry.name.partition(".")[0] not in known:
                entry.unlink()

    async def forget_deleted(self, drivers: Iterable[StorageDriver]) -> None:
        """The daemon starts: remove from the pools what is unpacked there of images that were deleted."""
        known = {image.fingerprint for image in self.rows.list()}
        for driver in drivers:
            for fingerprint in set(driver.images()) - known:
                await asyncio.to_thread(driver.delete_image, fingerprint)

    @property
    def incoming(self) -> Path:
        """Where files are received and built before they are known to be whole."""
        return self._directory / ".incoming"

    @property
    def partials(self) -> Path:
        """Where files are that a download was interrupted in."""
        return self._directory / ".partial"

    def list(self, *, public_only: bool = False) -> "list[Image]":
        """All images, or only the public ones."""
        return [image for image in self.rows.list() if image.public or not public_only]

    def get(self, fingerprint: str, *, public_only: bool = False) -> Image:
        """The image whose fingerprint begins so. Raises NotFound, and Invalid when several do."""
        return self.rows.get(fingerprint, public_only=public_only)

    def resolve(self, wanted: str) -> Image:
        """The image of an alias or of a fingerprint's beginning. Raises NotFound."""
        try:
            return self.rows.get(self.rows.alias(wanted).target)
        except NotFound:
            return self.rows.get(wanted)

    def newest(self, properties: dict[str, str]) -> Image:
        """The newest image that has all these properties. Raises NotFound."""
        found = [image for image in self.rows.list() if properties.items() <= image.properties.items()]
        if not found:
            raise NotFound("image", text="No matching image could be found")
        return max(found, key=lambda image: image.created_at)

    async def receive(self, blocks: AsyncIterator[bytes], after: Part | None = None) -> Part:
        """Write an upload to the incoming directory, with flat memory; `after` is the part that came before it."""
        return await upload.receive(self.incoming, blocks, after)

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

        `template` is what the image's source said of it: whether it is cached and from where it is updated, and instead
        of what the files say its properties, architecture and dates. The files are gone from the incoming directory
        afterwards, whatever happens.
        """
        fingerprint = received.fingerprint
        try:
            if expected and expected.lower() != fingerprint:
                text = f"Image fingerprint doesn't match. Got {fingerprint} expected {expected}"
                raise Invalid("image", text=text)
            if self.rows.has(fingerprint):
                raise Failure("image", fingerprint, text="Image with same fingerprint already exists")
            root = received.rootfs.path if received.rootfs else None
            facts = await asyncio.to_thread(inspect, received.meta.path, root)
            told = template or Image()
            expires = next((one for one in (put.expires_at, told.expires_at) if one.year > 1), None)
            image = msgspec.structs.replace(
                told,
                fingerprint=fingerprint,
                filename=Path(filename).name or f"{fingerprint}{format_of(received.meta.path).SUFFIX}",
                size=received.size,
                architecture=told.architecture or facts.architecture,
                type="container",
                created_at=told.created_at if told.created_at.year > 1 else _moment(facts.creation_date),
                expires_at=expires or _moment(facts.expiry_date),
                uploaded_at=now(),
                last_used_at=EPOCH,
                properties={**(told.properties or facts.properties), **put.properties},
                public=put.public,
                auto_update=put.auto_update,
                profiles=put.profiles or ["default"],
            )
            await self._keep(received, image)
        finally:
            received.discard()
        self.publish("created", fingerprint, None)
        return image

    async def _keep(self, received: Received, image: Image) -> None:
        received.meta.path.rename(self._directory / image.fingerprint)
        if received.rootfs is not None:
            received.rootfs.path.rename(self._directory / f"{image.fingerprint}.rootfs")
        try:
            await asyncio.to_thread(_sync, self._directory)
            await self.rows.add(image)
        except BaseException:
            if not self.rows.has(image.fingerprint):
                self._unlink(image.fingerprint)
            raise

    def files(self, fingerprint: str) -> "list[ExportFile]":
        """The files of an image, to be exported: one, or metadata and root file system."""
        main, rootfs = self._files(self.rows.get(fingerprint).fingerprint)
        suffix = format_of(main).SUFFIX
        if rootfs is None:
            return [ExportFile(main, f"{main.name}{suffix}")]
        return [
            ExportFile(main, f"meta-{main.name}{suffix}"),
            ExportFile(rootfs, f"{main.name}{format_of(rootfs).SUFFIX}"),
        ]

    def _files(self, fingerprint: str) -> tuple[Path, Path | None]:
        rootfs = self._directory / f"{fingerprint}.rootfs"
        return self._directory / fingerprint, rootfs if rootfs.exists() else None

    @contextmanager
    def held(self, fingerprint: str) -> Generator[None, None, None]:
        """Keep an image from being taken away while an instance is made of it: deleting it waits with the files.

        Raises NotFound when it is deleted already.
        """
        if not self.rows.has(fingerprint):
            raise NotFound("image", fingerprint)
        with self._holds.hold(fingerprint):
            yield

    async def ensure_unpacked(self, fingerprint: str, driver: StorageDriver, progress: Progress) -> None:
        """Unpack an image in a pool unless it is there, and note that it is used. Raises what `keep_unpacked` does."""
        await self.keep_unpacked(fingerprint, driver, progress)
        await self.mark_used(fingerprint)

    async def keep_unpacked(self, fingerprint: str, driver: StorageDriver, progress: Progress) -> None:
        """Unpack an image in a pool unless it is there.

        Of those that want the same, one unpacks and the others wait. Cancelling takes back what was unpacked.
        Raises NotFound when the image is deleted meanwhile, unless it is held.
        """
        key = (id(driver), fingerprint)
        async with self._unpacking.setdefault(key, asyncio.Lock()):
            if not driver.has_image(fingerprint):
                try:
                    await self._unpack(fingerprint, driver, progress)
                except (OSError, Failure) as error:
                    if self._is_gone(fingerprint):
                        raise NotFound("image", fingerprint) from error
                    raise
                if self._is_gone(fingerprint):  # deleting it came too early to find what was just unpacked
                    await asyncio.to_thread(driver.delete_image, fingerprint)
                    raise NotFound("image", fingerprint)

    def _is_gone(self, fingerprint: str) -> bool:
        return not self.rows.has(fingerprint) and not self._holds.has(fingerprint)

    async def _unpack(self, fingerprint: str, driver: StorageDriver, progress: Progress) -> None:
        loop, stop = asyncio.get_running_loop(), threading.Event()
        meta, rootfs = self._files(fingerprint)
        size = meta.stat().st_size + (rootfs.stat().st_size if rootfs else 0)

        def show(text: str) -> None:
            loop.call_soon_threadsafe(progress, text)

        def fill(target: Path) -> None:
            unpack(meta, rootfs, target, Meter(size, target, show, limits=self._limits, stop=stop))

        work = asyncio.ensure_future(asyncio.to_thread(driver.create_image, fingerprint, fill))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise
        progress("Unpack: 100%")

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
        """Note that an instance is being made from an image."""
        await self.rows.mark_used(fingerprint, now())

    async def delete(self, fingerprint: str, drivers: Iterable[StorageDriver]) -> None:
        """Remove an image, its files and what is unpacked of it; these when nobody holds it any more."""
        image = self.rows.get(fingerprint)
        await self.rows.delete(image.fingerprint)
        await self._holds.released(image.fingerprint)
        if self.rows.has(image.fingerprint):  # the same bytes were brought again meanwhile
            return
        self._unlink(image.fingerprint)
        for driver in drivers:
            await asyncio.to_thread(driver.delete_image, image.fingerprint)

    def _unlink(self, fingerprint: str) -> None:
        for name in (fingerprint, f"{fingerprint}.rootfs"):
            (self._directory / name).unlink(missing_ok=True)

    def publish(self, action: str, fingerprint: str, requestor: EventLifecycleRequestor | None) -> None:
        """Tell listeners what happened to an image."""
        self._events.happened("image", action, fingerprint, "default", requestor)


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(max(0, seconds), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise Invalid("image metadata", cause=f"{seconds} is no date") from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
