"""Changing an instance's configuration. Source: LXD, PUT and PATCH /1.0/instances/<name>.

The merged state is checked once, before anything is stored. On a running instance what can be applied live
is; when the runtime refuses, the stored row is put back.
"""

from collections.abc import Collection

import msgspec

from lightervisor.config import architectures
from lightervisor.config.merge import Config, Expanded, expand, without_empty
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Invalid
from lightervisor.events.stream import Events
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.live import LiveChanges
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstancePut
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run

VOLATILE = "volatile."
IDMAP = ("volatile.idmap.", "volatile.last_state.idmap")
NEEDED = ("volatile.uuid", "volatile.last_state.power")
IN_USE = (".host_name", ".last_state.created", ".last_state.mtu", ".last_state.hwaddr")


class Update:
    """Replaces or merges the configuration of instances."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        checks: InstanceChecks,
        live: LiveChanges,
        volumes: InstanceVolumes,
        operations: Operations,
    ) -> None:
        self._rows, self._catalog, self._checks = rows, catalog, checks
        self._live, self._volumes, self._operations = live, volumes, operations

    def replace(
        self,
        project: str,
        name: str,
        put: InstancePut,
        events: Events,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """PUT: start replacing the configuration. Raises NotFound, and Invalid for what the checks refuse."""
        self._checks.check_config(without_empty(put.config))
        put = _without_others(self._rows.get(project, name), put)
        gone = _deleted(self._rows.get(project, name).config, put.config)
        self.check(_replaced(self._rows.get(project, name), put, gone))

        async def work(_run: Run) -> None:
            # The row as it is under the lock: a start that was under way has left keys of its own there.
            await self.change(_replaced(self._rows.get(project, name), put, gone))
            events.happened("instance", "updated", name, project, requestor)

        return self._operations.start(
            "Updating instance",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            locks=[instance_lock(project, name)],
        )

    async def merge(
        self,
        project: str,
        name: str,
        put: InstancePut,
        events: Events,
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """PATCH: merge config keys and devices over what is there, at once."""
        self._operations.locks.check_idle([instance_lock(project, name)])
        async with self._operations.locks.hold([instance_lock(project, name)]):
            old = self._rows.get(project, name)
            merged = msgspec.structs.replace(
                put,
                architecture=put.architecture or old.architecture,
                config={**old.config, **put.config},
                devices={**old.devices, **put.devices},
                profiles=old.profiles if put.profiles is None else put.profiles,
                description=put.description or old.description,
                ephemeral=put.ephemeral or old.ephemeral,
            )
            new = _replaced(old, merged, _deleted(old.config, merged.config))
            self.check(new)
            await self.change(new)
        events.happened("instance", "updated", name, project, requestor)

    def check(self, new: InstanceRow) -> Expanded:
        """Raise Invalid unless an instance may become this; what it would end up with."""
        layers = self._catalog.profiles_named(new.project, new.profiles)
        expanded = expand(layers, new.config, new.devices)
        self._checks.check_config(new.config)
        self._checks.check_expanded(expanded.config, expanded.devices)
        return expanded

    async def change(self, new: InstanceRow) -> None:
        """Make an instance this, whole or not at all; the caller holds its lock. Raises Invalid, HostError."""
        old = self._rows.get(new.project, new.name)
        before, after = self._catalog.expand(old), self.check(new)
        self._volumes.check_root_change(before.devices, after.devices)
        await self._rows.replace(new)
        try:
            await self._live.apply(new, before, after)
        except BaseException:
            await self._put_back(old)
            raise
        stored = self._rows.get(new.project, new.name)
        await self._volumes.write_description(stored, self._volumes.pool_of(after.devices))

    async def change_back(self, old: InstanceRow) -> None:
        """Undo `change`, whether or not it was done; may be called twice."""
        before = self._catalog.expand(self._rows.get(old.project, old.name))
        await self._put_back(old)
        stored = self._rows.get(old.project, old.name)
        await self._live.apply(stored, before, self._catalog.expand(stored))

    async def _put_back(self, old: InstanceRow) -> None:
        """Store the old row again, with the volatile keys as they are now: devices that were put back have new ones."""
        present = self._rows.get(old.project, old.name).config
        config = {key: value for key, value in old.config.items() if not key.startswith("volatile.")}
        volatile = {key: value for key, value in present.items() if key.startswith("volatile.")}
        await self._rows.replace(msgspec.structs.replace(old, config={**config, **volatile}))


def _without_others(old: InstanceRow, put: InstancePut) -> InstancePut:
    """What is volatile of another instance is not taken over: LXD's client sends it when it has refreshed a copy."""
    if put.config.get("volatile.uuid") in (None, "", old.config.get("volatile.uuid")):
        return put
    return msgspec.structs.replace(put, config={k: v for k, v in put.config.items() if not k.startswith(VOLATILE)})


def _replaced(old: InstanceRow, put: InstancePut, gone: Collection[str]) -> InstanceRow:
    """The new row; the daemon's volatile keys stay, but for those that are gone."""
    kept = {key: value for key, value in old.config.items() if key.startswith(VOLATILE) and key not in gone}
    return msgspec.structs.replace(
        old,
        architecture=architectures.name_of(put.architecture) if put.architecture else old.architecture,
        config={**kept, **without_empty(put.config)},
        devices={name: without_empty(device) for name, device in put.devices.items()},
        profiles=put.profiles or [],
        description=put.description,
        ephemeral=put.ephemeral,
    )


def _deleted(known: Config, sent: Config) -> set[str]:
    """The volatile keys that a client wants to be rid of: sent empty, or left out by one that sent others of them.

    A client that sends none knows nothing of them. Raises Invalid with LXD's text for those of the id map; what the
    daemon cannot do without stays.
    """
    is_aware = any(key.startswith(VOLATILE) and value for key, value in sent.items())
    gone = {key for key in known if key.startswith(VOLATILE) and not sent.get(key) and (is_aware or key in sent)}
    if any(key.startswith(IDMAP) for key in gone):
        raise Invalid("config", text="Volatile idmap keys can't be deleted by the user")
    return {key for key in gone if key not in NEEDED and not key.endswith(IN_USE)}
