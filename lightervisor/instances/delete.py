"""Deleting and renaming instances. Source: LXD, DELETE and POST /1.0/instances/<name>."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from lightervisor.config import names
from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRows
from lightervisor.errors import Conflict, Failure, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances import cloud_init
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run

FINISH_DELETE = "finish deleting instance"
RENAME_BACK = "give instance its old name back"


class Removal:
    """Ends the life of instances, or gives them another name."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        boot: Boot,
        volumes: InstanceVolumes,
        operations: Operations,
        events: Events,
    ) -> None:
        self._rows, self._catalog, self._boot = rows, catalog, boot
        self._volumes, self._operations, self._events = volumes, operations, events
        self._before_end: list[Callable[[str, str], Awaitable[None]]] = []

    def precede_end(self, act: Callable[[str, str], Awaitable[None]]) -> None:
        """Have something done to an instance whose files are gone, before its row goes: it may be done twice."""
        self._before_end.append(act)

    def delete(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start deleting a stopped instance. Raises NotFound and, with LXD's text, Invalid while it runs."""
        self._rows.get(project, name)
        if self._catalog.status(project, name) != "Stopped":
            raise Invalid("instance", name, text="Instance is running", remedy=f"lxc delete --force {name}")

        async def work(run: Run) -> None:
            await self.remove(run, project, name)
            self._events.happened("instance", "deleted", name, project, requestor)

        return self._operations.start(
            "Deleting instance",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            locks=[instance_lock(project, name)],
            after=lambda: self._volumes.read_to_end(project, name),
        )

    async def remove(self, run: Run, project: str, name: str) -> None:
        """Delete a stopped instance inside an operation that holds its lock.

        Once its volume is gone it is always finished: a daemon that dies after that goes on at its next start.
        """
        row = self._rows.get(project, name)
        expanded = self._catalog.expand(row)
        if is_true(expanded.config.get("security.protection.delete")):
            raise Failure("instance", name, text="Container is protected", remedy="unset security.protection.delete")
        if self._catalog.status(project, name) != "Stopped":
            raise Invalid("instance", name, text="Instance is running")
        self._volumes.check_unread(project, name)
        pool = self._volumes.pool_of(expanded.devices)
        arguments = {"project": project, "name": name, "pool": pool}
        await run.step(lambda: self._delete(arguments), undo=FINISH_DELETE, arguments=arguments)

    async def _delete(self, arguments: Mapping[str, str]) -> None:
        with suppress(NotFound):
            await self._volumes.delete(arguments["pool"], arguments["project"], arguments["name"])
        await self.finish(arguments)

    async def finish(self, arguments: Mapping[str, str]) -> None:
        """Remove the files, the devices and the row of an instance whose volume is gone; may be called twice.

        With its volume the instance is still whole: then nothing happens.
        """
        project, name, pool = arguments["project"], arguments["name"], arguments["pool"]
        with suppress(NotFound):
            if self._volumes.exists(pool, project, name):
                return
            await self._volumes.delete(pool, project, name)  # its snapshots may be there yet
        with suppress(NotFound):
            await self._boot.forget(self._rows.get(project, name))
        for act in self._before_end:
            await act(project, name)
        await self._rows.delete(project, name)

    def rename(
        self, project: str, name: str, new_name: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start renaming a stopped instance. Raises NotFound, Invalid for a bad name, Conflict for a taken one."""
        self._rows.get(project, name)
        names.check_instance(new_name)
        if self._rows.exists(project, new_name):
            raise Conflict("instance", new_name, text=f'Name "{new_name}" already in use')

        async def work(run: Run) -> None:
            row = self._rows.get(project, name)
            if self._catalog.status(project, name) != "Stopped":
                raise Invalid("instance", name, text="Renaming of running container not allowed")
            self._volumes.check_unread(project, name)
            pool = self._volumes.pool_of(self._catalog.expand(row).devices)
            arguments = {"project": project, "name": name, "new_name": new_name, "pool": pool}
            await run.step(lambda: self._move(arguments), undo=RENAME_BACK, arguments=arguments)
            await self._volumes.write_description(self._rows.get(project, new_name), pool)
            self._events.happened("instance", "renamed", new_name, project, requestor, {"old_name": name})

        return self._operations.start(
            "Renaming instance",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            locks=[instance_lock(project, name), instance_lock(project, new_name)],
            after=lambda: self._volumes.read_to_end(project, name),
        )

    async def _move(self, arguments: Mapping[str, str]) -> None:
        project, name, new_name = arguments["project"], arguments["name"], arguments["new_name"]
        await self._volumes.rename(arguments["pool"], project, name, new_name)
        await self._boot.forget(self._rows.get(project, name))
        await self._rows.rename(project, name, new_name)
        row = self._rows.get(project, new_name)
        await self._boot.equip(row)
        changes = {cloud_init.IDENTITY: cloud_init.new_identity()}
        if PENDING not in row.config:
            changes[PENDING] = "rename"
        await self._rows.merge_config(project, new_name, changes)

    async def rename_back(self, arguments: Mapping[str, str]) -> None:
        """Undo a rename that did not end; may be called twice."""
        project, name, new_name = arguments["project"], arguments["name"], arguments["new_name"]
        if self._rows.exists(project, new_name) and not self._rows.exists(project, name):
            await self._boot.forget(self._rows.get(project, new_name))
            await self._rows.rename(project, new_name, name)
        await self._boot.equip(self._rows.get(project, name))
        pool = arguments["pool"]
        if not (self._volumes.exists(pool, project, name) and self._volumes.exists(pool, project, new_name)):
            await self._volumes.rename(pool, project, new_name, name)  # what of it is back already stays
