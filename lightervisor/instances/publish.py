"""Images made from instances and snapshots. Source: LXD, POST /1.0/images with a source of type instance.

The archive is made in the store's incoming directory and enters the store when it is whole; its fingerprint is that
of its bytes. Texts compared with LXD 5.0.2.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import yaml

from lightervisor.config.compression import Algorithm
from lightervisor.errors import Failure, Invalid
from lightervisor.images import upload
from lightervisor.images.downloads import check_aliases
from lightervisor.images.metadata import LARGEST, parse_loosely
from lightervisor.images.meter import Progress
from lightervisor.images.pack import Packing
from lightervisor.images.store import Images
from lightervisor.images.upload import Received
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.metadata import FILE, FOLDER
from lightervisor.instances.snapshot_roots import SnapshotRoot, SnapshotRoots
from lightervisor.instances.still_roots import UNDO, StillRoot, StillRoots
from lightervisor.kernel import paths
from lightervisor.model.image import Image, ImageMetadata, ImagePut, ImagesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import now
from lightervisor.operations.operations import Operations, Run

KEY = "images.compression_algorithm"
KINDS = ("instance", "container", "virtual-machine", "snapshot")
PUBLIC = "public"


class Publication:
    """What makes images here. `settings` reads a key of the server."""

    def __init__(
        self,
        catalog: Catalog,
        roots: StillRoots,
        snapshots: SnapshotRoots,
        images: Images,
        operations: Operations,
        settings: Callable[[str], str],
    ) -> None:
        self._catalog, self._roots, self._snapshots = catalog, roots, snapshots
        self._images, self._operations, self._settings = images, operations, settings

    def publish(self, project: str, post: ImagesPost) -> Operation:
        """Check a request and start making the image.

        Raises NotFound, Invalid or Conflict for what can be refused at once; the rest is in the operation.
        """
        source = post.source
        if source is None or not source.name:
            raise Invalid("image source", text="No source provided")
        instance, separator, snapshot = source.name.partition("/")
        if source.type == "snapshot" and not separator:
            raise Invalid("image source", text="Not a snapshot")
        if source.type != "snapshot" and separator:
            raise Invalid("image source", text="This is a snapshot")
        algorithm = post.compression_algorithm or self._settings(KEY)
        Algorithm.check(algorithm)
        self._catalog.row(project, instance)
        check_aliases(self._images, post.aliases)

        async def work(run: Run) -> None:
            def progress(text: str) -> None:
                run.progress("create_image_from_container_pack_progress", text)

            async def pack() -> tuple[Received, ImageMetadata]:
                opened = (
                    self._snapshots.opened(project, instance, snapshot)
                    if snapshot
                    else self._roots.opened(project, instance)
                )
                return await self._packed(opened, post, algorithm, progress)

            arguments = {"project": project, "name": instance}
            packed = await (pack() if snapshot else run.step(pack, undo=UNDO, arguments=arguments))
            image = await self._keep(*packed, post)
            run.update(fingerprint=image.fingerprint, size=str(image.size))

        return self._operations.start("Downloading image", work, project=project, cancellable=True)

    async def _packed(
        self,
        opened: AbstractAsyncContextManager[StillRoot | SnapshotRoot],
        post: ImagesPost,
        algorithm: str,
        progress: Progress,
    ) -> tuple[Received, ImageMetadata]:
        """The archive of a root that is opened for it."""
        received: Received | None = None
        try:
            async with opened as root:
                received, metadata = await self._pack(root, post, algorithm, progress)
        except BaseException:
            if received is not None:
                received.discard()
            raise
        return received, metadata

    async def _pack(
        self, root: StillRoot | SnapshotRoot, post: ImagesPost, algorithm: str, progress: Progress
    ) -> tuple[Received, ImageMetadata]:
        """The archive, in the incoming directory; cancelling takes it back."""
        loop = asyncio.get_running_loop()
        packing = Packing(lambda text: loop.call_soon_threadsafe(progress, text) and None)
        work = asyncio.ensure_future(asyncio.to_thread(self._write, packing, root, post, algorithm))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            packing.cancel()
            await asyncio.wait([work])
            if not work.cancelled() and work.exception() is None:
                work.result()[0].discard()
            raise

    def _write(
        self, packing: Packing, root: StillRoot | SnapshotRoot, post: ImagesPost, algorithm: str
    ) -> tuple[Received, ImageMetadata]:
        place = self._images.incoming / os.urandom(16).hex()
        whole = place.with_suffix(".image")
        place.mkdir(mode=0o700)
        try:
            try:
                metadata = self._write_in(place, packing, root, post, algorithm)
                part = upload.take((place / "image").rename(whole))
            finally:
                paths.remove_tree(place)
        except BaseException:
            whole.unlink(missing_ok=True)
            raise
        return Received(part, None), metadata

    @staticmethod
    def _write_in(
        place: Path, packing: Packing, root: StillRoot | SnapshotRoot, post: ImagesPost, algorithm: str
    ) -> ImageMetadata:
        text, metadata = _metadata(root, post)
        described = place / FILE
        described.write_bytes(text)
        os.utime(described, (metadata.creation_date, metadata.creation_date))
        members = {FILE: described, "rootfs": root.path}
        if (root.directory / FOLDER).is_dir():
            members[FOLDER] = root.directory / FOLDER
        members |= {f"rootfs/{guest}": host for guest, host in root.plain.items()}
        packing.write([members], place / "image", algorithm)
        return metadata

    async def _keep(self, received: Received, metadata: ImageMetadata, post: ImagesPost) -> Image:
        if self._images.rows.has(received.fingerprint):
            received.discard()
            raise Failure("image", text=f"The image already exists: {received.fingerprint}")
        told = Image(
            architecture=metadata.architecture,
            properties=metadata.properties,
            created_at=now(),
            aliases=post.aliases,
        )
        put = ImagePut(
            public=post.public or _says_public(post.properties),
            expires_at=post.expires_at,
            profiles=post.profiles,
        )
        return await self._images.add(received, put, filename=post.filename, template=told)


def _metadata(root: StillRoot | SnapshotRoot, post: ImagesPost) -> tuple[bytes, ImageMetadata]:
    """What metadata.yaml of the image says: as that of the instance, with what the request asks for. Raises Invalid."""
    try:
        text = paths.read(root.directory, FILE, limit=LARGEST)
        found = parse_loosely(text)
    except FileNotFoundError:  # an instance that was made empty has none
        text, found = b"", ImageMetadata()
    except OSError as error:
        raise Invalid("instance metadata", cause=f"{FILE} cannot be read: {error.strerror}") from error
    metadata = msgspec.structs.replace(
        found,
        architecture=found.architecture or root.row.architecture,
        creation_date=found.creation_date if found.creation_date > 0 else int(now().timestamp()),
        expiry_date=int(post.expires_at.timestamp()) if post.expires_at.year > 1 else found.expiry_date,
        properties=_properties(found, root.row.config, post.properties),
    )
    if metadata == found:
        return text, metadata  # with whatever others keep there
    document = msgspec.to_builtins(metadata)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode(), metadata


def _properties(found: ImageMetadata, config: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The properties asked for; else the instance's."""
    given = {key: value for key, value in wanted.items() if key != PUBLIC or not _says_public(wanted)}
    inherited = {key.removeprefix("image."): value for key, value in config.items() if key.startswith("image.")}
    return given or found.properties or inherited


def _says_public(properties: Mapping[str, str]) -> bool:
    """Whether `public=true` was typed behind `lxc publish`, as guides to LXD 2.0 have it."""
    return properties.get(PUBLIC) == "true"
