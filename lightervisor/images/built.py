"""The image source "build": images that this host makes out of nothing, cached like any other.

Launches that want the same image share one build; when the last of them is cancelled, so is the build, and nothing
of it stays. Source: an API extension of ours, `image_source_build`.
"""

import asyncio
import hashlib
from pathlib import Path

import msgspec

from lightervisor.errors import Conflict, NotFound
from lightervisor.images import upload
from lightervisor.images.builders.builder import Builder, Product, Workshop, builders
from lightervisor.images.meter import Progress
from lightervisor.images.store import Images
from lightervisor.images.upload import Part, Received
from lightervisor.kernel import paths
from lightervisor.model.image import (
    Image,
    ImageAlias,
    ImageAliasesEntry,
    ImagePut,
    ImageSource,
    ImagesPost,
    ImagesPostSource,
)
from lightervisor.model.times import EPOCH

PROTOCOL, SERVER = "build", "build:"
_SHORTEST = 8


class _Build:
    """One build that goes on, and those who wait for it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Image] | None = None
        self.listeners: list[Progress] = []
        self.said = ""

    def tell(self, text: str) -> None:
        self.said = text
        for listener in self.listeners:
            listener(text)


class BuiltImages:
    """What can be built, and the images that were."""

    def __init__(self, images: Images, architecture: str) -> None:
        self._images, self._architecture = images, architecture
        self._running: dict[str, _Build] = {}

    def catalog(self) -> list[Image]:
        """Every product as an image that is not there yet; its fingerprint stands for its name."""
        return [self._view(product) for builder in builders() for product in builder.products()]

    def _view(self, product: Product) -> Image:
        return Image(
            fingerprint=_stand_in(product),
            aliases=[ImageAlias(name=name) for name in product.aliases],
            architecture=self._architecture,
            public=True,
            type="container",
            created_at=EPOCH,
            uploaded_at=EPOCH,
            properties={
                "description": product.description,
                "os": product.os,
                "release": product.release,
                "variant": product.variant,
                "architecture": self._architecture,
            },
        )

    @staticmethod
    def _find(wanted: str) -> tuple[Builder, Product]:
        for builder in builders():
            for product in builder.products():
                if wanted in product.aliases or (len(wanted) >= _SHORTEST and _stand_in(product).startswith(wanted)):
                    return builder, product
        raise NotFound("image", wanted, text="Image not found", remedy="lxc image list build:")

    async def fetch(self, wanted: str, progress: Progress) -> Image:
        """The image of an alias, built unless it is cached. Raises NotFound, HostError."""
        builder, product = self._find(wanted)
        for image in self._images.list():
            source = image.update_source
            if isinstance(source, ImageSource) and (source.protocol, source.alias) == (PROTOCOL, product.alias):
                return image
        build = self._running.get(product.alias)
        if build is None:
            build = self._running[product.alias] = _Build()
            work = self._build(builder, product, build)
            build.task = asyncio.create_task(work, name=f"build {product.alias}")
            build.task.add_done_callback(lambda _: self._forget(product.alias, build))
        return await self._wait(product.alias, build, progress)

    async def keep(self, post: ImagesPost, source: ImagesPostSource, progress: Progress) -> Image:
        """The image of a source as one of the user's own: no longer only cached, with aliases and properties.

        Raises Conflict when one of the aliases has another image already, and what `fetch` raises.
        """
        for alias in post.aliases:
            if any(entry.name == alias.name for entry in self._images.rows.aliases()):
                raise Conflict("image alias", alias.name, text=f'Alias "{alias.name}" already exists')
        fetched = await self.fetch(source.alias or source.fingerprint, progress)
        image = msgspec.structs.replace(
            self._images.get(fetched.fingerprint),
            cached=False,
            public=post.public,
            auto_update=post.auto_update,
            properties={**fetched.properties, **post.properties},
        )
        await self._images.rows.replace(image)
        for alias in post.aliases:
            entry = ImageAliasesEntry(name=alias.name, description=alias.description, target=image.fingerprint)
            await self._images.rows.add_alias(entry)
        return image

    def _forget(self, alias: str, build: _Build) -> None:
        if self._running.get(alias) is build:
            del self._running[alias]

    async def _wait(self, alias: str, build: _Build, progress: Progress) -> Image:
        if build.task is None:
            raise RuntimeError("a build is listed before it runs")
        build.listeners.append(progress)
        if build.said:
            progress(build.said)
        try:
            return await asyncio.shield(build.task)
        except asyncio.CancelledError:
            build.listeners.remove(progress)
            if not build.listeners and not build.task.done():
                self._forget(alias, build)  # whoever asks from now on begins anew
                build.task.cancel()
                await asyncio.wait([build.task])
            raise

    async def _build(self, builder: Builder, product: Product, build: _Build) -> Image:
        loop = asyncio.get_running_loop()
        directory = self._images.fresh_directory()

        def tell(text: str) -> None:
            loop.call_soon_threadsafe(build.tell, text)

        workshop = Workshop(directory, tell)
        work = asyncio.ensure_future(asyncio.to_thread(self._make, builder, product, workshop))
        try:
            received = await asyncio.shield(work)
            if self._images.rows.has(received.fingerprint):  # somebody uploaded the very same bytes
                return self._images.get(received.fingerprint)
            source = ImageSource(protocol=PROTOCOL, server=SERVER, alias=product.alias)
            return await self._images.add(received, ImagePut(), template=Image(cached=True, update_source=source))
        finally:
            workshop.close()
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()
            await asyncio.to_thread(paths.remove_tree, directory)

    def _make(self, builder: Builder, product: Product, workshop: Workshop) -> Received:
        files = builder.build(product, self._architecture, workshop)
        meta = upload.take(files.meta)
        rootfs: Part | None = upload.take(files.rootfs, meta) if isinstance(files.rootfs, Path) else None
        return Received(meta, rootfs)


def _stand_in(product: Product) -> str:
    return hashlib.sha256(product.alias.encode()).hexdigest()
