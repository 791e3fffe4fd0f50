"""What becomes of images by themselves: cached ones expire, those from an alias are replaced by newer ones.

Source: LXD, images.remote_cache_expiry, images.auto_update_interval and POST /1.0/images/{fingerprint}/refresh.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import timedelta

import msgspec

from lightervisor.db.images import ImageRows
from lightervisor.errors import Failure
from lightervisor.images.downloads import Downloads, Settings
from lightervisor.images.meter import Progress
from lightervisor.images.shared import Shared
from lightervisor.images.sources.build import Build
from lightervisor.images.store import Images
from lightervisor.model.image import Image, ImageSource
from lightervisor.model.times import now
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import StorageDriver

EXPIRY, INTERVAL = "images.remote_cache_expiry", "images.auto_update_interval"
_LOOK_S = 600
log = logging.getLogger(__name__)


class Upkeep:
    """The images' gardener. `drivers` are those of the pools that can be used now."""

    def __init__(
        self,
        images: Images,
        downloads: Downloads,
        drivers: Callable[[], Iterable[StorageDriver]],
        settings: Settings,
        operations: Operations,
    ) -> None:
        self._images, self._downloads, self._drivers = images, downloads, drivers
        self._settings, self._operations = settings, operations
        self._refreshing = Shared[bool]()

    @property
    def _rows(self) -> ImageRows:
        return self._images.rows

    async def run(self) -> None:
        """For ever: update when it is time, at the start too, and expire once a day. The keys apply as they change."""
        loop = asyncio.get_running_loop()
        updated_at = expired_at = float("-inf")
        while True:
            hours = int(self._settings(INTERVAL))
            if hours > 0 and loop.time() - updated_at >= hours * 3600:
                updated_at = loop.time()
                await self._in_background("Updating images", self.renewable(), self.update)
            if loop.time() - expired_at >= timedelta(days=1).total_seconds():
                expired_at = loop.time()
                self._downloads.forget_old()
                await self._in_background("Cleaning up expired images", self.expired(), self.expire)
            await asyncio.sleep(_LOOK_S)

    async def _in_background(
        self, description: str, chosen: list[Image], work: Callable[[list[Image]], Awaitable[None]]
    ) -> None:
        """An operation of the server's own, if there is anything to do."""
        if not chosen:
            return

        async def carry_out(_run: Run) -> None:
            await work(chosen)

        operation = self._operations.start(description, carry_out, project="", cancellable=True)
        try:
            await self._operations.wait(operation.id, None)
        except asyncio.CancelledError:  # the daemon stops: nobody shall wait for a download that nobody asked for
            with suppress(Failure):
                self._operations.cancel(operation.id)
            raise

    def renewable(self) -> list[Image]:
        """The images that are kept up to date. What this host builds is made anew on demand only."""
        return [
            image
            for image in self._images.list()
            if image.auto_update and isinstance(image.update_source, ImageSource)
            if image.update_source.protocol != Build.protocol
        ]

    def expired(self) -> list[Image]:
        """The cached images that nobody used for `images.remote_cache_expiry` days; none when that is 0."""
        days = int(self._settings(EXPIRY))
        cached = [image for image in self._images.list() if image.cached] if days else []
        return [image for image in cached if _is_unused(image, days)]

    async def update(self, chosen: list[Image]) -> None:
        """Bring these up to date; what cannot be is tried again the next time."""
        for image in chosen:
            try:
                await self.refresh(image.fingerprint, lambda _text: None)
            except Failure as failure:
                log.warning("image %s is not updated: %s", image.fingerprint[:12], failure.sentence())

    async def expire(self, chosen: list[Image]) -> None:
        """Delete these, but for what was used, kept or deleted since they were chosen."""
        for image in chosen:
            if image.fingerprint not in {one.fingerprint for one in self.expired()}:
                continue
            log.info("image %s is no longer used, it is deleted", image.fingerprint[:12])
            await self._images.delete(image.fingerprint, self._drivers())
            self._images.publish("deleted", image.fingerprint, None)

    async def refresh(self, fingerprint: str, progress: Progress) -> bool:
        """Replace an image by what its alias stands for now; whether there was anything newer.

        Those who ask for the same at the same time are told the same. Raises NotFound with LXD's text for an image
        that came from no alias, and what its source raises.
        """
        return await self._refreshing.run(fingerprint, lambda tell: self._refresh(fingerprint, tell), progress)

    async def _refresh(self, fingerprint: str, progress: Progress) -> bool:
        image = self._images.get(fingerprint)
        try:
            wanted, found = await self._downloads.newest(image)
            newer = await self._downloads.take(wanted, found, progress, anew=True)
        except Failure as failure:
            text = f'Failed to update image "{image.fingerprint}" in project "default": {failure.sentence()}'
            raise type(failure)(failure.kind, failure.name, text=text, remedy=failure.remedy) from failure
        if newer.fingerprint == image.fingerprint:
            return False
        await self._replace(image, newer, progress)
        return True

    async def _replace(self, old: Image, new: Image, progress: Progress) -> None:
        """Let a newer image take an older one's place: its aliases, flags and last use, and its trees in the pools."""
        for driver in self._drivers():
            if driver.has_image(old.fingerprint):  # so that the next launch is as quick as the last
                await self._images.keep_unpacked(new.fingerprint, driver, progress)
        await self._rows.replace(_heir(self._images.get(old.fingerprint), self._images.get(new.fingerprint)))
        await self._rows.move_aliases(old.fingerprint, new.fingerprint)
        await self._images.delete(old.fingerprint, self._drivers())
        self._images.publish("refreshed", new.fingerprint, None)


def _is_unused(image: Image, days: int) -> bool:
    # Divided, since no date lies as many days back as the key may say.
    return (now() - max(image.last_used_at, image.uploaded_at)) / timedelta(days=1) > days


def _heir(old: Image, new: Image) -> Image:
    """A newer image with what an older one's user wanted of it.

    One that was brought for this has nothing of its own; one that the user had already stays as it is kept.
    """
    own = None if new.cached else new
    return msgspec.structs.replace(
        new,
        cached=old.cached and own is None,
        public=old.public or new.public,
        auto_update=own.auto_update if own else old.auto_update,
        profiles=own.profiles if own else old.profiles,
        last_used_at=max(old.last_used_at, new.last_used_at),
        update_source=old.update_source,
    )
