"""Creating instances: from an image of the store or of a source, or empty. Source: LXD, POST /1.0/instances."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from lightervisor.config import architectures
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid, NotFound, Unsupported
from lightervisor.images.downloads import Downloads, wanted_of
from lightervisor.images.store import Images
from lightervisor.instances.births import BirthActs, Births, Plan, check_runnable, volatile_at_birth
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run


class Creation:
    """What creating an instance needs."""

    def __init__(
        self, births: Births, acts: BirthActs, images: Images, downloads: Downloads, volumes: InstanceVolumes
    ) -> None:
        self._births, self._acts, self._volumes = births, acts, volumes
        self._images, self._downloads = images, downloads

    def create(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start creating the instance.

        Raises Invalid, NotFound or Unsupported for what can be refused at once; the rest is in the operation.
        """
        name = self._births.name(project, post)
        architecture = architectures.name_of(post.architecture) if post.architecture else architectures.own()
        image = self._local_image(post.source)
        row = InstanceRow(
            project=project,
            name=name,
            architecture=image.architecture if image else architecture,
            created_at=now(),
            last_used_at=EPOCH,
            ephemeral=post.ephemeral,
            description=post.description,
            config={**post.config, **volatile_at_birth("create")},
            devices=post.devices,
            profiles=self._profiles_of(post, image),
        )
        plan = self._births.plan(row)

        async def work(run: Run) -> None:
            async with self._chosen(post.source, image, run) as chosen:
                await self._build(run, plan, chosen)

        return self._acts.start(plan, work, requestor)

    def _local_image(self, source: InstanceSource) -> Image | None:
        """The image when it is in the store; None when it is to be fetched or none is wanted."""
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

    @staticmethod
    def _profiles_of(post: InstancesPost, image: Image | None) -> list[str]:
        if post.profiles is not None:
            return post.profiles
        return list(image.profiles or ["default"]) if image else ["default"]

    @asynccontextmanager
    async def _chosen(
        self, source: InstanceSource, image: Image | None, run: Run
    ) -> AsyncGenerator[Image | None, None]:
        """The image, which nobody takes away while the context lasts."""
        chosen = image or await self._fetch(source, run)
        if chosen is not None and not self._images.rows.has(chosen.fingerprint):  # a newer one took its place
            chosen = self._local_image(source) or await self._fetch(source, run)
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

    async def _build(self, run: Run, plan: Plan, image: Image | None) -> None:
        row, _, pool = plan
        if image is None:
            await self._births.bring(run, plan, lambda: self._volumes.create(pool, row.project, row.name, None))
            return

        async def make() -> None:
            await self._images.ensure_unpacked(
                image.fingerprint,
                self._volumes.driver(pool),
                lambda text: run.progress("create_instance_from_image_unpack_progress", text),
            )
            await self._volumes.create(pool, row.project, row.name, image.fingerprint)

        await self._births.bring(run, plan._replace(row=_with_image(row, image)), make)


def _with_image(row: InstanceRow, image: Image) -> InstanceRow:
    properties = {f"image.{key}": value for key, value in image.properties.items()}
    config = {**properties, **row.config, "volatile.base_image": image.fingerprint}
    return msgspec.structs.replace(row, config=config, architecture=image.architecture or row.architecture)
