"""Giving an instance new files, of an image or none. Source: LXD 5.x, POST /1.0/instances/<name>/rebuild.

As a restore does it: its configuration comes first and its files last, as these change in one moment and carry the
operation's mark then. Snapshots stay, unlike in LXD: they are made of layers or copies of their own.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances import cloud_init
from lightervisor.instances.births import check_runnable
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import check_has_no_memory
from lightervisor.instances.image_choice import BASE, PROPERTY, ImageChoice, with_image
from lightervisor.instances.templates import PENDING
from lightervisor.instances.update import Update
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import Image
from lightervisor.model.instance import InstanceRebuildPost
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run

UNDO = "give instance that was being rebuilt its configuration back"


class Rebuilding:
    """Rebuilds all instances."""

    def __init__(
        self,
        catalog: Catalog,
        choice: ImageChoice,
        boot: Boot,
        update: Update,
        volumes: InstanceVolumes,
        operations: Operations,
    ) -> None:
        self._catalog, self._choice, self._boot = catalog, choice, boot
        self._update, self._volumes, self._operations = update, volumes, operations

    def rebuild(
        self,
        project: str,
        name: str,
        post: InstanceRebuildPost,
        events: Events,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Start giving a stopped instance the files of an image, or none with source type `none`.

        Raises NotFound, Invalid when it runs or for a bad source; the rest is in the operation.
        """
        self._catalog.row(project, name)
        self._check_stopped(project, name)
        image = self._choice.local(post.source)
        if image is not None:
            check_runnable(image.architecture)

        async def work(run: Run) -> None:
            async with self._choice.chosen(post.source, image, run) as chosen:
                await self._rebuild(run, project, name, chosen)
            events.happened("instance", "rebuilt", name, project, requestor)

        return self._operations.start(
            "Rebuilding instance",
            work,
            project=project,
            resources={kind: [f"/1.0/{kind}/{name}"] for kind in ("instances", "containers")},
            locks=[instance_lock(project, name)],
            cancellable=True,
        )

    def _check_stopped(self, project: str, name: str) -> None:
        if self._catalog.status(project, name) != "Stopped":
            text = "Instance must be stopped to be rebuilt"
            raise Invalid("instance", name, text=text, remedy=f"lxc stop {name}, or lxc rebuild --force")

    async def _rebuild(self, run: Run, project: str, name: str, image: Image | None) -> None:
        self._check_stopped(project, name)
        self._volumes.check_not_read(project, name)
        await self._boot.cleaned_up(project, name)
        old = self._catalog.row(project, name)
        check_has_no_memory(name, [old])
        new = _rebuilt(old, image)
        pool = self._volumes.pool_of(self._update.check(new).devices)
        if image is not None:
            await self._choice.unpack(image, self._volumes.driver(pool), run)
        arguments = {
            "project": project,
            "name": name,
            "pool": pool,
            "mark": run.id,
            "old": msgspec.json.encode(old).decode(),
        }
        await run.step(lambda: self._carry_out(pool, new, image, run.id), undo=UNDO, arguments=arguments)
        await self._volumes.write_description(self._catalog.row(project, name), pool)

    async def _carry_out(self, pool: str, new: InstanceRow, image: Image | None, mark: str) -> None:
        await self._update.change(new)
        await self._volumes.rebuild(pool, new.project, new.name, image.fingerprint if image else None, mark)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Put the configuration back, unless the files are new already; may be called twice."""
        project, name, pool = arguments["project"], arguments["name"], arguments["pool"]
        with suppress(NotFound):  # it was deleted since
            if self._volumes.restored(pool, project, name) != arguments["mark"]:
                await self._update.change_back(msgspec.json.decode(arguments["old"], type=InstanceRow))


def _rebuilt(row: InstanceRow, image: Image | None) -> InstanceRow:
    """The row with what it had of its old image replaced; its templates and cloud-init see a new instance."""
    config = {key: value for key, value in row.config.items() if not key.startswith(PROPERTY) and key != BASE}
    config |= {PENDING: "create", cloud_init.IDENTITY: cloud_init.new_identity()}
    bare = msgspec.structs.replace(row, config=config)
    return bare if image is None else with_image(bare, image)
