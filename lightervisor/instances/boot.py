"""Bringing an instance up and taking it down: root, devices, container, and what is written about it.

Everything that is prepared is taken back in one place, `_clear`, whether the instance stopped, failed to start
or was found dead after a crash of the daemon.
"""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from lightervisor.config.merge import Expanded
from lightervisor.config.names import volume_name
from lightervisor.config.types import is_true
from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.devices.device import Device, DeviceStart
from lightervisor.errors import Failure, HostError, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.disk_limits import DiskLimits
from lightervisor.instances.guest_api import GuestApi
from lightervisor.instances.idmaps import NEXT, IdMaps
from lightervisor.instances.nesting import nesting_lines
from lightervisor.instances.nics_aside import put_back, without_nics
from lightervisor.instances.run_keys import Places, State, names_host_side, not_ready
from lightervisor.instances.templates import PENDING, Templates
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import cgroup_moves, modules, paths
from lightervisor.kernel.guests import Guest, guest_of
from lightervisor.kernel.idmap import IdMap, check_delegated, from_json
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.model.times import now
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.limiter import Wanted
from lightervisor.runtime.migrating import IN_NETWORK, RESTORED, At, Revival
from lightervisor.runtime.spec import ContainerSpec, Lines

log = logging.getLogger(__name__)
Restart = Callable[[str, str], None]


class Boot:
    """Starts and clears instances; the callers hold their locks."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        volumes: InstanceVolumes,
        devices: InstanceDevices,
        places: Places,
        idmaps: IdMaps,
        templates: Templates,
        guest_api: GuestApi,
        events: Events,
    ) -> None:
        self._rows, self._catalog, self._volumes, self._idmaps = rows, catalog, volumes, idmaps
        self.read_to_end = volumes.read_to_end
        self._devices, self._places, self._events = devices, places, events
        self._templates, self._guest_api, self._disks = templates, guest_api, DiskLimits(volumes)
        self._containers: Containers | None = None
        self._names: dict[str, tuple[str, str]] = {}
        self._kept: set[str] = set()
        self._remembered: set[str] = set()
        self._asked: set[str] = set()
        self._restart: Restart | None = None
        self._uncleared: dict[str, Exception] = {}

    def use(self, containers: Containers) -> None:
        """Take the runtime, which needs `on_exit` of this object to be made."""
        self._containers = containers

    def restart_with(self, restart: Restart) -> None:
        """Take what starts an instance again whose guest rebooted; it must not wait for the exit to be over."""
        self._restart = restart

    @property
    def containers(self) -> Containers:
        """The runtime."""
        if self._containers is None:
            raise Failure("runtime", cause="is not started")
        return self._containers

    @staticmethod
    def container_name(project: str, name: str) -> str:
        """The name liblxc knows an instance by."""
        return volume_name(project, name)

    def status(self, project: str, name: str) -> str:
        """The runtime's word for its state."""
        return "Stopped" if self._containers is None else self._containers.state(volume_name(project, name))

    def idmap_of(self, row: InstanceRow, expanded: Expanded) -> IdMap | None:
        """The id map that an instance's next start uses; None when it is privileged. Raises Invalid, HostError."""
        return self._idmaps.of(row, expanded)

    async def expect_start(self, row: InstanceRow, pool: str) -> None:
        """Begin what takes a moment in a start. Raises Invalid for metadata that cannot be read, HostError."""
        await self._templates.prepare(row, pool)

    async def start(self, row: InstanceRow, state: State | None = None) -> None:
        """Start a stopped instance, whole or not at all, with the processes whose memory is in a directory if given."""
        self._volumes.check_startable(row.project, row.name)
        await self.cleaned_up(row.project, row.name)
        expanded = self._catalog.expand(row)
        with self._idmaps.chosen(row, expanded) as next_map:
            await self._start(row, expanded, next_map, state)

    async def _start(self, row: InstanceRow, expanded: Expanded, next_map: dict[str, str], state: State | None) -> None:
        cgroup_moves.expect()
        idmap = from_json(next_map[NEXT])
        pool = self._volumes.pool_of(expanded.devices)
        container = volume_name(row.project, row.name)
        self._names[container] = (row.project, row.name)
        try:
            if idmap is not None:
                await in_thread(check_delegated, idmap)
            await self.containers.begin(container)
            await in_thread(modules.load, modules.wanted(expanded.config))
            await self.expect_start(row, pool)
            is_protected = is_true(expanded.config.get("security.protection.shift"))
            root = await self._volumes.mount(pool, row.project, row.name, idmap, is_protected=is_protected)
            started = await self._devices.start(row, without_nics(expanded) if state else expanded, idmap)
            lines = [line for _, start in started for line in start.lines]
            lines += await nesting_lines(self._volumes, pool, row, expanded.config)
            renders_again = state is not None or await self._templates.apply(row, expanded, pool, root, idmap)
            spec = await in_thread(self._spec, row, expanded, root.path, idmap, lines)
            spec = replace(spec, devlxd=self._guest_api.prepare(row, expanded.config, self._guest))
            await self.containers.start(
                spec, Revival(state.directory, self._reviving(row, expanded, state)) if state else None
            )
            if renders_again:
                self.containers.note_change(container)  # a guest's reboot is a start of the daemon's then
            await self._after_start(row, next_map, started)
            self.containers.complete(container)
            self._guest_api.open(row)
        except BaseException:
            try:
                await finished(self._take_down(row))
            except (Failure, OSError) as error:
                log.error("instance %s: not all of its failed start could be taken back: %s", row.name, error)
            raise

    def _reviving(self, row: InstanceRow, expanded: Expanded, state: State) -> At:
        """What is done in the middle of a restore."""

        async def at(moment: str, pid: int) -> None:
            if moment == IN_NETWORK and (guest := guest_of(pid)) is not None:
                volatile = await put_back(self._devices, row, expanded, guest, state.directory)
                await self._rows.merge_config(row.project, row.name, dict(volatile))
            if moment == RESTORED and state.settled is not None:
                await state.settled()

        return at

    async def _take_down(self, row: InstanceRow) -> None:
        """A start was not done to its end: all of it goes. What should run is tried again at the next boot."""
        container = volume_name(row.project, row.name)
        should_run = row.config.get("volatile.last_state.power") == "RUNNING"
        with self.power_remembered(row.project, row.name) if should_run else nullcontext():
            self._asked.add(container)
            await self.containers.kill(container)
            self._asked.discard(container)
            await self._clear(row.project, row.name)

    async def _after_start(
        self, row: InstanceRow, next_map: dict[str, str], started: list[tuple[Device, DeviceStart]]
    ) -> None:
        pid = self.containers.init_pid(volume_name(row.project, row.name))
        for _, start in started:
            if start.after_start is not None and pid is not None:
                await in_thread(start.after_start, pid)
        volatile: dict[str, str | None] = {
            "volatile.last_state.power": "RUNNING",
            "volatile.last_state.idmap": "[]",
            "volatile.idmap.current": next_map[NEXT],
            **next_map,
            **not_ready(row),
            PENDING: None,
            HANDED_OVER: None,
        }
        for _, start in started:
            volatile.update(start.volatile)
        await self._rows.note_start(row.project, row.name, volatile, now())

    def _spec(
        self, row: InstanceRow, expanded: Expanded, rootfs: Path, idmap: IdMap | None, device_lines: Lines
    ) -> ContainerSpec:
        return ContainerSpec(
            name=volume_name(row.project, row.name),
            hostname=row.name,
            config=expanded.config,
            rootfs=rootfs,
            log_dir=self.log_directory(row.project, row.name),
            security_dir=self._places.security,
            idmap=idmap,
            architecture=row.architecture,
            device_lines=device_lines,
            throttles=self._disks.throttles(row, expanded),
        )

    def log_directory(self, project: str, name: str) -> Path:
        """Where an instance's logs are."""
        return self._places.logs / volume_name(project, name)

    async def kill(self, project: str, name: str) -> None:
        """Stop by force; `cleaned_up` tells when all has been taken back."""
        self.expect_stop(project, name)
        await self.containers.kill(volume_name(project, name))

    async def shut_down(self, project: str, name: str, timeout_s: float | None) -> None:
        """Ask the guest to stop. Raises TimeoutError."""
        self.expect_stop(project, name)
        try:
            await self.containers.shut_down(volume_name(project, name), timeout_s)
        except BaseException:
            self.expect_stop(project, name, wanted=False)
            raise

    def expect_stop(self, project: str, name: str, *, wanted: bool = True) -> None:
        """Somebody wants it to stop, or no more: one that has does not run again when the daemon dies meanwhile."""
        container = volume_name(project, name)
        (self._asked.add if wanted else self._asked.discard)(container)
        if not wanted or container not in self._kept | self._remembered:
            self.containers.note_stop(container, wanted=wanted)

    async def cleaned_up(self, project: str, name: str) -> None:
        """Wait until everything of a stopped instance has been taken back, as far as that can be done."""
        await self.containers.settled(volume_name(project, name))

    def check_cleared(self, project: str, name: str) -> None:
        """Raise what went wrong when the last run of a stopped instance was taken back."""
        if (error := self._uncleared.get(volume_name(project, name))) is not None:
            raise HostError("instance", name, cause=f"it has stopped, but not all of its run is taken back: {error}")

    @contextmanager
    def kept(self, project: str, name: str) -> Generator[None, None, None]:
        """While this lasts a stop does not end an ephemeral instance: it is being restarted."""
        self._kept.add(volume_name(project, name))
        try:
            yield
        finally:
            self._kept.discard(volume_name(project, name))

    @contextmanager
    def power_remembered(self, project: str, name: str) -> Generator[None, None, None]:
        """While this lasts a stop leaves `volatile.last_state.power` at RUNNING: the host goes down."""
        self._remembered.add(volume_name(project, name))
        try:
            yield
        finally:
            self._remembered.discard(volume_name(project, name))

    async def on_exit(self, container: str, target: str) -> None:
        """The runtime says that init has ended, and whether the guest rebooted."""
        project, name = self._names[container]
        if target == "reboot":
            row = self._rows.get(project, name)
            await self._rows.merge_config(project, name, not_ready(row))
            await self._mend(row)
            self._events.happened("instance", "restarted", name, project)
            return
        if target == "restart" and self._restart is not None:
            with self.power_remembered(project, name):
                await self._clear(project, name)
            self._restart(project, name)
            return
        asked = container in self._asked
        self._asked.discard(container)
        try:
            await self._clear(project, name)
        except (Failure, OSError) as error:
            self._uncleared[container] = error
            raise
        if not asked:
            self._events.happened("instance", "shutdown", name, project)
        if container not in self._kept and container not in self._remembered:
            await self._end_ephemeral(project, name)

    async def _mend(self, row: InstanceRow) -> None:
        container, expanded = volume_name(row.project, row.name), self._catalog.expand(row)
        guest = self._guest(container)
        if guest is not None:
            await self._devices.mend(row, expanded, guest)
            await in_thread(self._restore_limits, row, expanded)

    def _restore_limits(self, row: InstanceRow, expanded: Expanded) -> None:
        try:
            throttles = self._disks.throttles(row, expanded)
        except (Failure, OSError) as error:
            log.warning("instance %s: the limits of its disks are not set again: %s", row.name, error)
            throttles = ()
        self.containers.restore_limits(volume_name(row.project, row.name), Wanted(expanded.config, throttles))

    async def _end_ephemeral(self, project: str, name: str) -> None:
        """An ephemeral instance ends with its stop. A daemon that dies here ends it at its next start."""
        try:
            row = self._rows.get(project, name)
        except NotFound:
            return
        if row.ephemeral:
            await self._volumes.delete(self._volumes.pool_of(self._catalog.expand(row).devices), project, name)
            await self.forget(row)
            await self._rows.delete(project, name)
            self._events.happened("instance", "deleted", name, project)

    async def _clear(self, project: str, name: str) -> None:
        """Take back what a start prepares, as far as it is there."""
        try:
            row = self._rows.get(project, name)
        except NotFound:
            return
        expanded = self._catalog.expand(row)
        try:
            self._guest_api.remove(row)
            await self._devices.stop(row, expanded)
        finally:
            await self._volumes.unmount(self._volumes.pool_of(expanded.devices), project, name)
        container = volume_name(project, name)
        changes: dict[str, str | None] = {key: None for key in row.config if names_host_side(key)} | not_ready(row)
        if container not in self._remembered:
            changes["volatile.last_state.power"] = "STOPPED"
        await self._rows.merge_config(project, name, changes)
        await self.containers.confinement.ended(container)
        self.containers.forget(container)
        self._uncleared.pop(container, None)

    async def check_host(self, row: InstanceRow, expanded: Expanded) -> None:
        """Raise with LXD's text unless this host has what the devices of a new instance need."""
        await self._devices.check(row, expanded)
        await self.containers.confinement.check({}, expanded.config)

    @contextmanager
    def chosen(self, row: InstanceRow, expanded: Expanded) -> Generator[dict[str, str], None, None]:
        """The volatile keys that a new instance and its devices get, to be stored while this lasts."""
        with self._idmaps.chosen(row, expanded) as next_map:
            yield {**next_map, **self._devices.choose(row, expanded)}

    async def equip(self, row: InstanceRow) -> None:
        """A stopped instance that was made or renamed gets its devices: addresses are reserved."""
        await self._devices.add(row, self._catalog.expand(row))

    async def forget(self, row: InstanceRow) -> None:
        """Remove what is kept about a stopped instance outside its volume. May be called twice."""
        expanded = self._catalog.expand(row)
        try:
            await self._devices.stop(row, expanded)
        except Failure as failure:  # a device that is broken by now does not keep its instance from going
            log.warning("instance %s: %s", row.name, failure.message())
        await self._devices.remove(row, expanded)
        container = volume_name(row.project, row.name)
        await in_thread(paths.remove_tree, self._places.logs / container)
        self._guest_api.remove(row)
        await self.containers.confinement.forget(container)
        self.containers.forget(container)
        for known in (self._names, self._uncleared):
            known.pop(container, None)

    def _guest(self, container: str) -> Guest | None:
        return guest_of(self.containers.init_pid(container))

    async def find_running(self) -> None:
        """The daemon starts: watch what runs, take back what died meanwhile or was being started."""
        self.containers.confinement.find()
        async with self.containers.changing_together():
            await asyncio.gather(*(self._find(row) for row in self._rows.list()))

    async def find(self, row: InstanceRow) -> None:
        """Watch an instance that was not known so far, if it runs."""
        async with self.containers.changing_together():
            await self._find(row)

    async def _find(self, row: InstanceRow) -> None:
        container = volume_name(row.project, row.name)
        self._names[container] = (row.project, row.name)
        try:
            match await self.containers.find(container):
                case "whole":
                    if self._guest_api.prepare(row, self._catalog.expand(row).config, self._guest):
                        self._guest_api.open(row)
                    return await self._mend(row)
                case "half":
                    log.warning("instance %s is taken down: the daemon died while it was starting it", row.name)
                    await self._take_down(row)
                case "stopped":
                    await self._clear(row.project, row.name)
                case found:
                    # It is to run again, whether the host went down with it or it ended while no daemon was there.
                    if found == "ended" or row.config.get("volatile.last_state.power") == "RUNNING":
                        with self.power_remembered(row.project, row.name):
                            await self._clear(row.project, row.name)
            if row.ephemeral and row.config.get("volatile.last_state.power"):
                await self._end_ephemeral(row.project, row.name)
        except (Failure, OSError) as failure:
            log.error("instance %s: what is left of its last run could not be taken back: %s", row.name, failure)
