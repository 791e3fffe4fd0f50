"""The image source "build": images that this host makes out of nothing, cached like any other.

Source: an API extension of ours, `image_source_build`.
"""

import asyncio
import hashlib
import os
from pathlib import Path

from lightervisor.config import architectures
from lightervisor.errors import NotFound
from lightervisor.images import upload
from lightervisor.images.builders.builder import Builder, Product, Workshop, builders
from lightervisor.images.sources.source import Found, Source, Tell, Wanted
from lightervisor.images.upload import Part, Received
from lightervisor.kernel import paths
from lightervisor.model.image import Image, ImageAlias
from lightervisor.model.times import EPOCH

SERVER = "build:"
_SHORTEST = 8


def catalog(architecture: str) -> list[Image]:
    """Every product as an image that is not there yet; its fingerprint stands for its name."""
    return [_view(product, architecture) for builder in builders() for product in builder.products()]


class Build(Source, protocol="build"):
    """What the builders make. A fingerprint is known only when an image is there: until it is renewed, it is fresh."""

    async def find(self, wanted: Wanted) -> Found:
        """The product of a name. Raises NotFound."""
        _, product = _product(wanted.name)
        return Found(image=Image(), alias=product.alias)

    async def fetch(self, wanted: Wanted, found: Found, tell: Tell) -> Received:
        """Build it, in a directory of its own on a worker thread. Raises HostError."""
        builder, product = _product(found.alias)
        directory = self.tools.incoming / os.urandom(16).hex()
        directory.mkdir()
        workshop = Workshop(directory, _on_loop(tell))
        work = asyncio.ensure_future(asyncio.to_thread(self._make, builder, product, workshop))
        try:
            received = await asyncio.shield(work)
            return _moved(received, directory.parent)
        finally:
            workshop.close()
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()
            await asyncio.to_thread(paths.remove_tree, directory)

    def _make(self, builder: Builder, product: Product, workshop: Workshop) -> Received:
        files = builder.build(product, architectures.own(), workshop)
        meta = upload.take(files.meta)
        rootfs: Part | None = upload.take(files.rootfs, meta) if isinstance(files.rootfs, Path) else None
        return Received(meta, rootfs)


def _on_loop(tell: Tell) -> Tell:
    loop = asyncio.get_running_loop()
    return lambda text: loop.call_soon_threadsafe(tell, text) and None


def _moved(received: Received, directory: Path) -> Received:
    """The files out of the workshop, which is removed."""
    moved = [
        part._replace(path=part.path.rename(directory / f"{received.fingerprint}.{index}"))
        for index, part in enumerate((received.meta, received.rootfs))
        if part is not None
    ]
    return Received(moved[0], moved[1] if len(moved) > 1 else None)


def _product(wanted: str) -> tuple[Builder, Product]:
    for builder in builders():
        for product in builder.products():
            if wanted in product.aliases or (len(wanted) >= _SHORTEST and _stand_in(product).startswith(wanted)):
                return builder, product
    raise NotFound("image", wanted, text="Image not found", remedy="lxc image list build:")


def _view(product: Product, architecture: str) -> Image:
    return Image(
        fingerprint=_stand_in(product),
        aliases=[ImageAlias(name=name) for name in product.aliases],
        architecture=architecture,
        public=True,
        type="container",
        created_at=EPOCH,
        uploaded_at=EPOCH,
        properties={
            "description": product.description,
            "os": product.os,
            "release": product.release,
            "variant": product.variant,
            "architecture": architecture,
        },
    )


def _stand_in(product: Product) -> str:
    return hashlib.sha256(product.alias.encode()).hexdigest()
