"""What is done to the devices of one instance together: their order, and undoing when one of them fails."""

from collections.abc import Mapping, Sequence

from lightervisor.devices.device import Device, DeviceStart, Slot
from lightervisor.errors import Failure
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import NamespaceLinks


def check_added(device: Device) -> None:
    """Check that a device can be added on this host. Raises with LXD's prefix."""
    if not device.IS_CHECKED_WHEN_ADDED:
        return
    try:
        device.check_host()
    except Failure as error:
        text = f'Failed add validation for device "{device.name}": {error.sentence()}'
        raise type(error)("device", device.name, text=text, remedy=error.remedy) from error


def start_devices(devices: Sequence[Device]) -> list[tuple[Device, DeviceStart]]:
    """Start all devices in LXD's order: nics, disks by path, the rest.

    When one fails, those before it are stopped again and the failure is raised with LXD's prefix.
    """
    done: list[tuple[Device, DeviceStart]] = []
    slots = _slots(devices)
    for device in sorted(devices, key=_order):
        try:
            device.check_host()
            done.append((device, device.start(slots.get(device.name, Slot()))))
        except BaseException as error:
            for started in [device, *(one for one, _ in reversed(done))]:
                started.stop()
            if not isinstance(error, Failure):
                raise
            raise _not_started(device, error) from error
    return done


def stop_devices(devices: Sequence[Device]) -> None:
    """Stop all devices in reverse order, each whatever happens to the others; raises the first failure at the end."""
    failures: list[Failure] = []
    for device in sorted(devices, key=_order, reverse=True):
        try:
            device.stop()
        except Failure as error:
            failures.append(error)
    if failures:
        raise failures[0]


def plug_device(device: Device, others: Sequence[Device], guest: Guest) -> Mapping[str, str]:
    """Give a running container one more device; whole volatile keys to keep. Raises as `start_devices` does."""
    slot = _slots([device, *others]).get(device.name, Slot())
    try:
        device.check_host()
        return device.plug(slot, guest).volatile
    except Failure as error:
        raise _not_started(device, error) from error


def has_nic(nic: Device, devices: Sequence[Device], guest: Guest) -> bool:
    """Whether a running container has the interface of this nic, one of its devices. Raises HostError."""
    interface, found = _slots(devices)[nic.name].interface, NamespaceLinks(guest.pid)
    try:
        return any(link.name == interface for link, _ in found.list())
    finally:
        found.close()


def unplug_device(device: Device, guest: Guest) -> None:
    """Take a device from a running container. Raises with LXD's prefix; its host side is removed even then."""
    try:
        try:
            device.unplug(guest)
        finally:
            device.stop()
    except Failure as error:
        text = f'Failed to stop device "{device.name}": {error.sentence()}'
        raise type(error)("device", device.name, text=text, remedy=error.remedy) from error


def _not_started(device: Device, error: Failure) -> Failure:
    text = f'Failed to start device "{device.name}": {error.sentence()}'
    return type(error)("device", device.name, text=text, remedy=error.remedy)


def _order(device: Device) -> tuple[int, str, str]:
    return device.ORDER, device.options.get("path", ""), device.name


def _slots(devices: Sequence[Device]) -> dict[str, Slot]:
    nics = sorted((device for device in devices if device.kind == "nic"), key=_order)
    names = {nic.name: nic.options.get("name") or _volatile(nic, "name") for nic in nics}
    taken = {name for name in names.values() if name}
    slots: dict[str, Slot] = {}
    for index, nic in enumerate(nics):
        interface = names[nic.name]
        if not interface:
            interface = next(f"eth{n}" for n in range(len(nics) + 1) if f"eth{n}" not in taken)
            taken.add(interface)
        slots[nic.name] = Slot(index=index, interface=interface)
    return slots


def _volatile(device: Device, field_name: str) -> str:
    return device.instance.config.get(f"volatile.{device.name}.{field_name}", "")
