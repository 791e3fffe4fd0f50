"""The devices of instances: resolved, added, started, changed while the instance runs, and removed.

The root disk is the instance's volume and none of these; a device of type "none" is no device, it only masks one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lightervisor.config.merge import Config, Devices, Expanded, root_device
from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRow
from lightervisor.devices import lifecycle
from lightervisor.devices.device import Device, DeviceStart, InstanceFacts, Options, Refreshed, load_device
from lightervisor.devices.disk_owners import VolumeSource
from lightervisor.errors import Failure
from lightervisor.instances.followed import Followed
from lightervisor.kernel import mounts, paths
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import in_thread
from lightervisor.networks.managed import Networks
from lightervisor.storage.volumes import Volumes

log = logging.getLogger(__name__)
Volatile = dict[str, str | None]
Verb = Literal["allow", "deny"]
SetDevices = Callable[[str, Verb, str], Coroutine[Any, Any, None]]


class Outcome(NamedTuple):
    """What a change of devices leaves in the row, why it was taken back, if it was, and which were made anew."""

    volatile: Volatile
    failure: BaseException | None = None
    replaced: frozenset[str] = frozenset()


class InstanceDevices:
    """The devices of all instances; `directory` is $LXD_DIR/devices."""

    def __init__(self, networks: Networks, volumes: Volumes, directory: Path) -> None:
        self._networks, self._volumes, self._directory = networks, volumes, directory
        self.followed = Followed()
        self._set_devices: SetDevices | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, set_devices: SetDevices) -> None:
        """Take the runtime's way to say which device nodes a running container may open. On the running loop."""
        self._set_devices, self._loop = set_devices, asyncio.get_running_loop()

    def _devices_setter(self, container: str) -> Callable[[Verb, str], None] | None:
        """The same for one container, for devices, which work on threads."""
        ask, loop = self._set_devices, self._loop
        if ask is None or loop is None:
            return None
        return lambda verb, rule: asyncio.run_coroutine_threadsafe(ask(container, verb, rule), loop).result()

    def directory(self, project: str, name: str) -> Path:
        """Where the devices of an instance keep their host sides."""
        return self._directory / volume_name(project, name)

    async def check(self, row: InstanceRow, expanded: Expanded) -> None:
        """Raise with LXD's text unless this host has what the devices need."""
        devices = self._all(row, expanded)
        await in_thread(lambda: [lifecycle.check_added(device) for device in devices])

    def choose(self, row: InstanceRow, expanded: Expanded) -> dict[str, str]:
        """The volatile keys that new devices of an instance get."""
        return {key: value for device in self._all(row, expanded) for key, value in device.choose().items()}

    async def add(self, row: InstanceRow, expanded: Expanded) -> None:
        """A stopped instance, which has what they chose, gets its devices."""
        devices = self._all(row, expanded)
        await in_thread(lambda: [device.add() for device in devices])

    async def remove(self, row: InstanceRow, expanded: Expanded) -> None:
        """A stopped instance loses its devices: nothing of them stays on the host. May be called twice."""
        devices = self._known(row, expanded)

        def work() -> None:
            for device in devices:
                with _logged(device):
                    device.remove()
            _sweep(self.directory(row.project, row.name))

        await in_thread(work)

    async def start(
        self, row: InstanceRow, expanded: Expanded, idmap: IdMap | None
    ) -> list[tuple[Device, DeviceStart]]:
        """Start all, or none: the failure names the device."""
        devices = self._all(row, expanded, idmap)
        started = await in_thread(lifecycle.start_devices, devices)
        self.followed.put((row.project, row.name), devices)
        return started

    async def unplug_nics(self, row: InstanceRow, expanded: Expanded, guest: Guest) -> None:
        """Take the nics from a running container for a while; they stay its own. Raises with LXD's prefix."""
        nics = [device for device in self._all(row, expanded, guest.idmap) if device.kind == "nic"]
        await in_thread(lambda: [lifecycle.unplug_device(nic, guest) for nic in nics])

    async def plug_nics(self, row: InstanceRow, expanded: Expanded, guest: Guest) -> dict[str, str]:
        """Give a container the nics that it does not have; whole volatile keys to keep. Raises with LXD's prefix."""
        devices = self._all(row, expanded, guest.idmap)

        def work() -> dict[str, str]:
            volatile: dict[str, str] = {}
            for nic in [device for device in devices if device.kind == "nic"]:
                if not lifecycle.has_nic(nic, devices, guest):
                    volatile |= lifecycle.plug_device(nic, [one for one in devices if one is not nic], guest)
            return volatile

        return await in_thread(work)

    async def stop(self, row: InstanceRow, expanded: Expanded) -> None:
        """Take back what a start or a change prepared, as far as it is there."""
        devices = self._known(row, expanded)
        self.followed.put((row.project, row.name))

        def work() -> None:
            try:
                lifecycle.stop_devices(devices)
            finally:
                _sweep(self.directory(row.project, row.name))

        await in_thread(work)

    async def mend(self, row: InstanceRow, expanded: Expanded, guest: Guest) -> None:
        """The guest rebooted without us, or was found running: set again what its devices may lack."""
        devices = self._known(row, expanded, guest.idmap)

        def work() -> None:
            for device in devices:
                with _logged(device):
                    device.mend(guest)

        await in_thread(work)
        self.followed.put((row.project, row.name), devices)

    async def refresh(self, row: InstanceRow, expanded: Expanded, guest: Guest) -> Refreshed:
        """Show in the running container what has come to the host, and take away what has gone, as its devices say."""
        devices = [device for device in self._known(row, expanded, guest.idmap) if device.follows() is not None]

        def work() -> Refreshed:
            found = Refreshed()
            for device in devices:
                more = Refreshed(is_changed=True)  # how far one that fails has come is not known
                with _logged(device):
                    more = device.refresh(guest)
                found = Refreshed(found.is_changed or more.is_changed, found.nodes | more.nodes)
            return found

        return await in_thread(work)

    async def limit(self, row: InstanceRow, before: Expanded, after: Expanded) -> None:
        """The limits of a running instance changed: devices that have a part in them follow. Raises HostError."""
        devices = self._known(row, Expanded(after.config, before.devices))
        await in_thread(lambda: [device.limit(before.config) for device in devices])

    async def change(self, row: InstanceRow, before: Expanded, after: Expanded, guest: Guest | None) -> Outcome:
        """Go from one set of devices to another, in the running container too when there is one.

        When a device refuses, the ones before it are put back; the outcome tells what the row must keep either way.
        """
        if before.devices == after.devices:
            return Outcome({})
        idmap = guest.idmap if guest else None
        change = _Change(lambda name, expanded: self._load(row, name, expanded, idmap), before, after, guest)
        outcome = await in_thread(change.carry_out)
        if guest is not None:
            stands = before if outcome.failure is not None else after
            self.followed.put((row.project, row.name), self._known(row, stands, idmap))
        return outcome

    def _all(self, row: InstanceRow, expanded: Expanded, idmap: IdMap | None = None) -> list[Device]:
        return [self._load(row, name, expanded, idmap) for name in _real(expanded.devices)]

    def _known(self, row: InstanceRow, expanded: Expanded, idmap: IdMap | None = None) -> list[Device]:
        """Those whose networks are still there: what cannot be resolved must not keep the others from ending."""
        found: list[Device] = []
        for name in _real(expanded.devices):
            try:
                found.append(self._load(row, name, expanded, idmap))
            except Failure as failure:
                log.warning("device %s of %s: %s", name, row.name, failure.message())
        return found

    def _load(self, row: InstanceRow, name: str, expanded: Expanded, idmap: IdMap | None = None) -> Device:
        options = expanded.devices[name]
        facts = InstanceFacts(
            name=row.name,
            project=row.project,
            config=expanded.config,
            devices=expanded.devices,
            devices_dir=self.directory(row.project, row.name),
            idmap=idmap,
            set_devices=self._devices_setter(volume_name(row.project, row.name)),
        )
        return load_device(
            name, options, facts, self._resource(row, options), network_type=self._networks.network_type(options)
        )

    def _resource(self, row: InstanceRow, options: Options) -> object | None:
        if options.get("type") == "nic":
            return self._networks.port(options)
        if options.get("type") != "disk" or not options.get("pool") or options.get("path") == "/":
            return None
        try:
            volume = self._volumes.opener(options["pool"], row.project, options.get("source", ""), row.name)
        except Failure as failure:
            return VolumeSource(open=_raising(failure))
        return VolumeSource(open=volume, unmapped=volume.unmapped)


def _raising(failure: Failure) -> Callable[[], int]:
    def refuse() -> int:
        raise failure

    return refuse


def _real(devices: Devices) -> dict[str, Options]:
    root = root_device(devices)
    return {
        name: options
        for name, options in devices.items()
        if options.get("type") != "none" and (root is None or name != root[0])
    }


class _Change:
    """One change of devices, step by step; each step notes how it is taken back."""

    def __init__(
        self, load: Callable[[str, Expanded], Device], before: Expanded, after: Expanded, guest: Guest | None
    ) -> None:
        self._load, self._before, self._after, self._guest = load, before, after, guest
        self._undo: list[Callable[[], None]] = []
        self._volatile: Volatile = {}
        self._replaced: set[str] = set()

    def carry_out(self) -> Outcome:
        """Lose, change and gain devices, in this order. Blocking."""
        old, new = _real(self._before.devices), _real(self._after.devices)
        try:
            for name in sorted(old.keys() - new.keys()):
                self._lose(name)
                self._volatile |= _forgotten(self._before.config, name)
            for name in sorted(old.keys() & new.keys()):
                if old[name] != new[name]:
                    self._alter(name)
            for name in sorted(new.keys() - old.keys()):
                self._gain(name, self._after)
        except BaseException as failure:  # noqa: BLE001 - it is in the outcome, after all is put back
            self._put_back()
            return Outcome(self._volatile, failure)
        return Outcome(self._volatile, replaced=frozenset(self._replaced))

    def _put_back(self) -> None:
        # Keys that were to be forgotten stay; what the returning devices write counts.
        self._volatile = {}
        for step in reversed(self._undo):
            try:
                step()
            except Failure as failure:
                log.warning("a device could not be put back: %s", failure.message())

    def _lose(self, name: str) -> None:
        device = self._load(name, self._before)
        self._undo.append(lambda: self._return(name))
        if self._guest is not None:
            lifecycle.unplug_device(device, self._guest)
        device.remove()

    def _return(self, name: str) -> None:
        device = self._load(name, self._before)
        device.add()
        self._plug(device, self._before)

    def _gain(self, name: str, expanded: Expanded) -> None:
        chosen, guest = self._load(name, expanded).choose(), self._guest
        self._volatile |= chosen
        expanded = Expanded({**expanded.config, **chosen}, expanded.devices)
        device = self._load(name, expanded)
        lifecycle.check_added(device)
        self._undo.append(device.remove)
        device.add()
        self._plug(device, expanded)
        if guest is not None:
            self._undo.append(lambda: lifecycle.unplug_device(device, guest))

    def _plug(self, device: Device, expanded: Expanded) -> None:
        if self._guest is not None:
            others = [self._load(other, expanded) for other in _real(expanded.devices) if other != device.name]
            self._volatile |= lifecycle.plug_device(device, others, self._guest)

    def _alter(self, name: str) -> None:
        old, new = self._load(name, self._before), self._load(name, self._after)
        is_same_kind = type(old) is type(new)
        if is_same_kind and self._guest is not None:
            lifecycle.check_added(new)
            self._undo.append(lambda: self._update_back(name))
            # The limits of the instance as a whole are the new ones already.
            if self._load(name, Expanded(self._after.config, self._before.devices)).update(new.options):
                return
            self._undo.pop()
        self._replaced.add(name)
        self._lose(name)
        given = {f"volatile.{name}.{option}" for option, value in new.options.items() if value}
        lost = {key for key in _forgotten(self._before.config, name) if not is_same_kind or key in given}
        self._volatile |= dict.fromkeys(lost)
        config = {key: value for key, value in self._after.config.items() if key not in lost}
        self._gain(name, Expanded(config, self._after.devices))

    def _update_back(self, name: str) -> None:
        self._load(name, self._after).update(self._before.devices[name])


def _forgotten(config: Config, device: str) -> Volatile:
    return {key: None for key in config if key.startswith(f"volatile.{device}.")}


def _sweep(directory: Path) -> None:
    """Unmount and remove what a crash in the middle of a change may have left in a directory of host sides."""
    with suppress(FileNotFoundError):
        for entry in list(directory.iterdir()):
            mounts.umount_alone(entry)
        paths.remove_tree(directory)


class _logged:
    """A failure of one device is logged and does not keep the others from their turn."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Failure):
            log.warning("device %s of %s: %s", self._device.name, self._device.instance.name, error.message())
            return True
        return False
