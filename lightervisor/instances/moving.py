"""Moving an instance to another pool of this server. Source: LXD, POST /1.0/instances/<name>, migration with pool.

All its files are in the new pool before its record says so, which changes in one transaction; then the old ones go. An
interrupted move is undone until that moment and finished after it: which of the two it is says the record.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from lightervisor.config import names
from lightervisor.config.merge import root_device
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Conflict, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances import cloud_init
from lightervisor.instances.boot import Boot
from lightervisor.instances.checks import check_has_no_memory
from lightervisor.instances.copy_sources import Source, Sources
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volume_copies import Target
from lightervisor.instances.volumes import busy
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstancePost
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.watched import shown

LOADING = "Failed loading storage pool"
UNDO = "finish or undo moving instance to another pool"


class Moving:
    """Moves all instances."""

    def __init__(
        self, rows: InstanceRows, sources: Sources, boot: Boot, operations: Operations, events: Events
    ) -> None:
        self._rows, self._sources, self._boot = rows, sources, boot
        self._operations, self._events = operations, events

    def move(
        self, project: str, name: str, post: InstancePost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start moving a stopped instance to the pool `post.pool`, with another name if one is given.

        Raises NotFound, Invalid for a bad name, Conflict for a taken one.
        """
        new_name = post.name or name
        names.check_instance(new_name)
        _check_pool(self._sources, self._moved(self._rows.get(project, name), post))

        async def work(run: Run) -> None:
            row = self._rows.get(project, name)
            if self._boot.status(project, name) != "Stopped":
                text = "Instance must be stopped to move between pools statelessly"
                raise Invalid("instance", name, text=text, remedy=f"lxc stop {name}")
            is_alone = post.instance_only or post.container_only
            check_has_no_memory(name, [row])
            if new_name != name and self._rows.exists(project, new_name):
                raise Conflict("instance", new_name, text=f'Name "{new_name}" already in use')
            with self._operations.locks.busy(instance_lock(project, name), busy(name, "move")):
                await self._move(run, row, self._moved(row, post), is_alone=is_alone)
            if new_name != name:
                self._events.happened("instance", "renamed", new_name, project, requestor, {"old_name": name})
            else:
                self._events.happened("instance", "updated", name, project, requestor)

        return self._operations.start(
            "Migrating instance",
            work,
            project=project,
            resources={kind: [f"/1.0/{kind}/{name}"] for kind in ("instances", "containers")},
            locks=[instance_lock(project, name), instance_lock(project, new_name)],
            cancellable=True,
        )

    def _moved(self, row: InstanceRow, post: InstancePost) -> InstanceRow:
        """The record of the moved instance; one that gets another name is another one for cloud-init, too."""
        root = root_device(self._sources.catalog.expand(row).devices)
        device, options = root or ("root", {"type": "disk", "path": "/"})
        moved = msgspec.structs.replace(row, devices={**row.devices, device: {**options, "pool": post.pool}})
        if post.name in ("", row.name):
            return moved
        config = {PENDING: "rename", **row.config, cloud_init.IDENTITY: cloud_init.new_identity()}
        return msgspec.structs.replace(moved, name=post.name, config=config)

    async def _move(self, run: Run, old: InstanceRow, new: InstanceRow, *, is_alone: bool) -> None:
        project, volumes = old.project, self._sources.copies.volumes
        await self._boot.cleaned_up(project, old.name)
        volumes.check_unread(project, old.name)
        there = _check_pool(self._sources, new)
        origin, _ = await self._sources.ready(project, Source(old.name, old))
        if there == origin.pool and new.name == old.name:
            return
        volumes.check_new(there, project, new.name)
        arguments = {
            "project": project,
            "name": old.name,
            "new_name": new.name,
            "pool": origin.pool,
            "new_pool": there,
            "uuid": old.config.get("volatile.uuid", ""),
        }

        async def carry_out() -> None:
            await volumes.leave(project, old.name)  # what is written from now on would not come along
            kept = [] if is_alone else self._sources.snapshots.of(project, old.name)
            target = Target(there, project, new.name)
            await self._sources.copies.copy(origin, target, [one.name for one in kept], None, shown(run))
            expanded = self._sources.catalog.expand(new)
            await volumes.size_new(project, new.name, expanded.devices)
            if new.name != old.name:
                await self._boot.forget(old)
            await volumes.keep(there)  # what is in the old pool goes then
            await self._rows.move(old.name, new, [self._sources.moved(one, expanded) for one in kept])
            await self._finish(arguments)

        await run.step(carry_out, undo=UNDO, arguments=arguments)

    async def _finish(self, arguments: Mapping[str, str]) -> None:
        """The record is that of the moved instance: what is left of the old place goes."""
        project, name, new_name = arguments["project"], arguments["name"], arguments["new_name"]
        volumes = self._sources.copies.volumes
        row = self._rows.get(project, new_name)
        if new_name != name:
            await self._boot.equip(row)
        await volumes.write_description(row, arguments["new_pool"])
        await volumes.delete(arguments["pool"], project, name)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Remove the new files, or the old ones when the record says that these are no longer used.

        May be called twice; nothing happens when other instances have these names by now.
        """
        project, name, new_name = arguments["project"], arguments["name"], arguments["new_name"]
        if self._is(project, new_name, arguments["uuid"], arguments["new_pool"]):
            await self._finish(arguments)
            return
        if self._rows.exists(project, new_name) and new_name != name:
            return
        if not self._is(project, name, arguments["uuid"], arguments["pool"]):
            return
        with suppress(NotFound):
            await self._sources.copies.volumes.delete(arguments["new_pool"], project, new_name)
        if new_name != name:
            await self._boot.equip(self._rows.get(project, name))

    def _is(self, project: str, name: str, identity: str, pool: str) -> bool:
        """Whether an instance has this name, identity and pool."""
        if not self._rows.exists(project, name):
            return False
        row = self._rows.get(project, name)
        return row.config.get("volatile.uuid", "") == identity and self._sources.pool(project, name) == pool


def _check_pool(sources: Sources, row: InstanceRow) -> str:
    """The pool of an instance that is to be. Raises NotFound with LXD's text."""
    try:
        return sources.copies.volumes.pool_of(sources.catalog.expand(row).devices)
    except NotFound as error:
        text = f"Failed creating instance record: Failed initialising instance: {LOADING}: {error.sentence()}"
        raise NotFound(error.kind, error.name, text=text, remedy="lxc storage list") from error
