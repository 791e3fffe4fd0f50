"""Which image the files of an instance are made of: one of the store, one that is fetched first, or none."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid, NotFound, Unsupported
from lightervisor.images.downloads import Downloads, wanted_of
from lightervisor.images.store import Images
from lightervisor.instances.births import check_runnable
from lightervisor.model.image import Image
from lightervisor.model.instance import InstanceSource
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import StorageDriver

BASE = "volatile.base_image"
PROPERTY = "image."


class ImageChoice:
    """Finds and fetches images for instances."""

    def __init__(self, images: Images, downloads: Downloads) -> None:
        self._images, self._downloads = images, downloads

    def local(self, source: InstanceSource) -> Image | None:
        """The image when it is in the store; None when it is to be fetched or none is wanted.

        Raises NotFound, Invalid, Unsupported for a source that is no image.
        """
        match source.type:
            case "none":
                return None
            case "image":
                if source.server:
                    return None
                if source.fingerprint:
                    return self._images.get(source.fingerprint)
                if source.alias:
                    return self._aliased(source.alias)
                if source.properties:
                    return self._images.newest(source.properties)
                raise Invalid("source", text="Must specify one of alias, fingerprint or properties for init from image")
            case "migration":
                raise Unsupported("source", source.type, cause="copying between servers is not offered yet")
            case _:
                raise Invalid("source", text=f"Unknown source type {source.type}")

    def _aliased(self, alias: str) -> Image:
        """The image of an alias; clients of 2.0 send the beginning of a fingerprint in its place."""
        try:
            return self._images.resolve(alias)
        except NotFound as error:
            raise NotFound("image", alias, text="Image alias not found", remedy="lxc image list") from error

    @asynccontextmanager
    async def chosen(self, source: InstanceSource, image: Image | None, run: Run) -> AsyncGenerator[Image | None, None]:
        """The image (`local`'s, or one that is fetched now), which nobody takes away while the context lasts."""
        chosen = image or await self._fetch(source, run)
        if chosen is not None and not self._images.rows.has(chosen.fingerprint):  # a newer one took its place
            chosen = self.local(source) or await self._fetch(source, run)
        if chosen is None:
            yield None
            return
        with self._images.held(chosen.fingerprint):
            yield chosen

    async def _fetch(self, source: InstanceSource, run: Run) -> Image | None:
        if source.type == "none":
            return None
        image = await self._downloads.fetch(wanted_of(source), lambda text: run.progress("download_progress", text))
        check_runnable(image.architecture)
        return image

    async def unpack(self, image: Image, driver: StorageDriver, run: Run) -> None:
        """Have the pool hold an image's files; progress is shown."""
        await self._images.ensure_unpacked(
            image.fingerprint,
            driver,
            lambda text: run.progress("create_instance_from_image_unpack_progress", text),
        )


def with_image(row: InstanceRow, image: Image) -> InstanceRow:
    """The row of an instance that is made of an image: its properties below what the row has, and its architecture."""
    properties = {f"{PROPERTY}{key}": value for key, value in image.properties.items()}
    return msgspec.structs.replace(
        row,
        config={**properties, **row.config, BASE: image.fingerprint},
        architecture=image.architecture or row.architecture,
    )
