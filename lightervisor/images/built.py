"""The image source "build": images that this host makes out of nothing, cached like any other.

Two launches of the same image share one build. Source: an API extension of ours, `image_source_build`.
"""

import asyncio
import hashlib
import importlib
import pkgutil

from lightervisor.errors import NotFound
from lightervisor.images import builders, upload
from lightervisor.images.builders.builder import BUILDERS, Builder, Product
from lightervisor.images.meter import Progress
from lightervisor.images.store import Images
from lightervisor.images.upload import Received
from lightervisor.kernel import paths
from lightervisor.model.image import Image, ImageAlias, ImagePut, ImageSource
from lightervisor.model.times import EPOCH

PROTOCOL, SERVER = "build", "build:"
for _module in pkgutil.iter_modules(builders.__path__):
    importlib.import_module(f"{builders.__name__}.{_module.name}")


class BuiltImages:
    """What can be built, and the images that were."""

    def __init__(self, images: Images, architecture: str) -> None:
        self._images, self._architecture = images, architecture
        self._builders: list[Builder] = [kind() for kind in BUILDERS.values()]
        self._running: dict[str, asyncio.Task[Image]] = {}

    def catalog(self) -> list[Image]:
        """Every product as an image that is not there yet; its fingerprint stands for its name."""
        return [self._view(product) for builder in self._builders for product in builder.products()]

    def _view(self, product: Product) -> Image:
        return Image(
            fingerprint=hashlib.sha256(product.alias.encode()).hexdigest(),
            aliases=[ImageAlias(name=product.alias)],
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

    def _find(self, wanted: str) -> tuple[Builder, Product]:
        for builder in self._builders:
            for product in builder.products():
                name = hashlib.sha256(product.alias.encode()).hexdigest()
                if product.alias == wanted or (len(wanted) >= 8 and name.startswith(wanted)):
                    return builder, product
        raise NotFound("image", wanted, text="Image not found", remedy="lxc image list build:")

    async def fetch(self, alias: str, progress: Progress) -> Image:
        """The image of an alias, built unless it is cached. Raises NotFound, HostError."""
        builder, product = self._find(alias)
        for image in self._images.list():
            source = image.update_source
            if isinstance(source, ImageSource) and (source.protocol, source.alias) == (PROTOCOL, product.alias):
                return image
        task = self._running.get(product.alias)
        if task is None:
            task = asyncio.create_task(self._build(builder, product, progress), name=f"build {product.alias}")
            self._running[product.alias] = task
            task.add_done_callback(lambda _: self._running.pop(product.alias, None))
        return await asyncio.shield(task)

    async def _build(self, builder: Builder, product: Product, progress: Progress) -> Image:
        loop = asyncio.get_running_loop()
        directory = self._images.fresh_directory()
        try:

            def tell(text: str) -> None:
                loop.call_soon_threadsafe(progress, text)

            archive = await asyncio.to_thread(builder.build, product, directory, tell)
            template = Image(
                cached=True, update_source=ImageSource(protocol=PROTOCOL, server=SERVER, alias=product.alias)
            )
            part = await asyncio.to_thread(upload.take, archive)
            return await self._images.add(Received(part, None), ImagePut(), template=template)
        finally:
            await asyncio.to_thread(paths.remove_tree, directory)
