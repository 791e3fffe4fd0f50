"""Creating instances: from an image of the store or of a source, or empty. Source: LXD, POST /1.0/instances."""

import uuid
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import msgspec

from lightervisor.config import architectures, names
from lightervisor.config.merge import Expanded, expand
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Conflict, Failure, Invalid, NotFound, Unsupported
from lightervisor.events.stream import Events
from lightervisor.images.downloads import Downloads, wanted_of
from lightervisor.images.store import Images
from lightervisor.instances import cloud_init, petnames
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run

_BAD_CONFIG = "Invalid config: "
UNDO = "drop instance that was being created"


class Creation:
    """What creating an instance needs."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        checks: InstanceChecks,
        images: Images,
        downloads: Downloads,
        boot: Boot,
        volumes: InstanceVolumes,
        operations: Operations,
    ) -> None:
        self._rows, self._catalog, self._checks, self._boot = rows, catalog, checks, boot
        self._images, self._downloads = images, downloads
        self._volumes, self._operations = volumes, operations

    def create(
        self, project: str, post: InstancesPost, events: Events, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Check a request and start creating the instance.

        Raises Invalid, NotFound or Unsupported for what can be refused at once; the rest is in the operation.
        """
        name = post.name or petnames.invent(lambda name: self._rows.exists(project, name))
        names.check_instance(name)
        if post.type not in ("", "container", "virtual-machine"):
            raise Invalid("instance type", post.type, text="Invalid instance type")
        if post.type == "virtual-machine":
            raise Unsupported("instance", name, cause="virtual machines are not offered", remedy="leave out --vm")
        if post.instance_type:
            cause, remedy = "sizes by name are not offered", "-c limits.cpu=2 -c limits.memory=4GiB"
            raise Unsupported("instance type", post.instance_type, cause=cause, remedy=remedy)
        architecture = architectures.name_of(post.architecture) if post.architecture else architectures.own()
        image = self._local_image(post.source)
        _check_runnable(image.architecture if image else architecture)
        profiles = self._profiles_of(post, image)
        layers = self._catalog.profiles_named(project, profiles, for_new=True)
        expanded = expand(layers, post.config, post.devices)
        with _record_refused():
            self._checks.check_expanded(expanded.config, expanded.devices)
            self._volumes.pool_of(expanded.devices)
            self._volumes.tell_of_size(name, expanded.devices)
        row = InstanceRow(
            project=project,
            name=name,
            architecture=architecture,
            created_at=now(),
            last_used_at=EPOCH,
            ephemeral=post.ephemeral,
            description=post.description,
            config={**post.config, **_volatile_at_birth()},
            devices=post.devices,
            profiles=profiles,
        )

        async def work(run: Run) -> None:
            async with self._chosen(post.source, image, run) as chosen:
                await self._build(run, row, chosen, expanded)
            context = {"type": "container", "location": "none", "storage-pool": self._volumes.pool_of(expanded.devices)}
            url = f"/1.0/instances/{name}"
            events.lifecycle("instance-created", url, project=project, context=context, requestor=requestor)

        return self._operations.start(
            "Creating instance",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            locks=[instance_lock(project, name)],
            cancellable=True,
        )

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
            case "copy" | "migration":
                raise Unsupported("source", source.type, cause="copying instances is not offered yet")
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
        _check_runnable(image.architecture)
        return image

    async def _build(self, run: Run, row: InstanceRow, image: Image | None, expanded: Expanded) -> None:
        if self._rows.exists(row.project, row.name):
            raise Conflict(
                "instance",
                row.name,
                text="Failed creating instance record: Add instance info to the database: "
                'This "instances" entry already exists',
                remedy=f"choose another name, or delete it first: lxc delete {row.name}",
            )
        await self._boot.check_host(row, expanded)
        pool = self._volumes.pool_of(expanded.devices)
        self._volumes.check_new(pool, row.project, row.name)
        if image is not None:
            row = _with_image(row, image)
            await self._images.ensure_unpacked(
                image.fingerprint,
                self._volumes.driver(pool),
                lambda text: run.progress("create_instance_from_image_unpack_progress", text),
            )
        identity = row.config["volatile.uuid"]
        arguments = {"project": row.project, "name": row.name, "pool": pool, "uuid": identity}
        await run.step(
            lambda: self._volumes.create(pool, row.project, row.name, image.fingerprint if image else None),
            undo=UNDO,
            arguments=arguments,
        )
        await self._boot.expect_start(row, pool)
        with self._boot.chosen(row, expanded) as chosen:
            row = msgspec.structs.replace(row, config={**row.config, **chosen})
            await self._rows.add(row)
        await self._boot.equip(row)
        await self._volumes.write_description(row, pool)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Remove whatever there is of an instance whose creation did not end; may be called twice.

        Nothing happens when another one has its name by now: this may be tried again after a failure.
        """
        project, name, pool = arguments["project"], arguments["name"], arguments["pool"]
        with suppress(NotFound):
            row = self._rows.get(project, name)
            if row.config.get("volatile.uuid") != arguments["uuid"]:
                return
            await self._boot.forget(row)
            await self._rows.delete(project, name)
        try:
            await self._volumes.delete(pool, project, name)
        except NotFound:
            return


@contextmanager
def _record_refused() -> Generator[None, None, None]:
    """Say, as LXD does, what failed because of a bad key, device or pool."""
    try:
        yield
    except Failure as error:
        place, text = "Failed creating instance record: ", error.sentence()
        if text.startswith(_BAD_CONFIG):
            text = text.removeprefix(_BAD_CONFIG)
        else:
            place += "Failed initialising instance: "
        raise type(error)(error.kind, error.name, text=place + text, remedy=error.remedy) from error


def _check_runnable(architecture: str) -> None:
    if architecture not in architectures.runnable():
        text = "Failed creating instance record: Requested architecture isn't supported by this host"
        remedy = f"it is {architecture}, this host runs {' and '.join(architectures.runnable())}"
        raise Invalid("architecture", architecture, text=text, remedy=remedy)


def _volatile_at_birth() -> dict[str, str]:
    return {
        "volatile.uuid": str(uuid.uuid4()),
        cloud_init.IDENTITY: cloud_init.new_identity(),
        "volatile.last_state.idmap": "[]",
        PENDING: "create",
    }


def _with_image(row: InstanceRow, image: Image) -> InstanceRow:
    properties = {f"image.{key}": value for key, value in image.properties.items()}
    config = {**properties, **row.config, "volatile.base_image": image.fingerprint}
    return InstanceRow(
        **{field: getattr(row, field) for field in row.__struct_fields__ if field not in ("config", "architecture")},
        config=config,
        architecture=image.architecture or row.architecture,
    )
