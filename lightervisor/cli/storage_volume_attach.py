"""`lxc storage volume attach`, `detach` and the same for profiles: a custom volume among the disks of an owner."""

from __future__ import annotations

from lightervisor.cli.config_device import Owner
from lightervisor.cli.errors import CommandError
from lightervisor.cli.storage_volume import place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def attach(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an instance a volume as a disk."""
    _ = flags
    _attach(session, "instances", arguments)


def attach_profile(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give a profile a volume as a disk."""
    _ = flags
    _attach(session, "profiles", arguments)


def detach(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a volume away from an instance."""
    _ = flags
    _detach(session, "instances", arguments)


def detach_profile(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a volume away from a profile."""
    _ = flags
    _detach(session, "profiles", arguments)


def _attach(session: Session, owners: str, arguments: list[str]) -> None:
    kind, raw = place(session, arguments[0], arguments[1])
    if kind.type != "custom":
        raise CommandError('Only "custom" volumes can be attached to instances')
    server, volume = kind.place(session, raw)
    name, path = volume, ""
    if len(arguments) == 4:
        path = arguments[3]
    elif len(arguments) > 4:
        name, path = arguments[3], arguments[4]
    if owners == "profiles":
        server.get(kind.path(volume))
    owner = _owner(session, owners, arguments)
    if name in owner.devices:
        raise CommandError(f"Device already exists: {name}")
    owner.devices[name] = {"type": "disk", "pool": kind.pool, "source": volume, **({"path": path} if path else {})}
    owner.save()


def _detach(session: Session, owners: str, arguments: list[str]) -> None:
    kind, raw = place(session, arguments[0], arguments[1])
    volume = raw.partition(":")[2]
    owner = _owner(session, owners, arguments)
    if len(arguments) > 3:
        name = arguments[3]
        if name not in owner.devices:
            raise CommandError("The specified device doesn't exist")
        if not _shows(owner.devices[name], kind.pool, volume):
            raise CommandError("The specified device doesn't match the volume")
    else:
        found = [name for name, device in owner.devices.items() if _shows(device, kind.pool, volume)]
        if not found:
            raise CommandError("No device found for this storage volume")
        if len(found) > 1:
            raise CommandError("More than one device matches, specify the device name")
        name = found[0]
    del owner.devices[name]
    owner.save()


def _shows(device: dict[str, str], pool: str, volume: str) -> bool:
    return (device.get("type"), device.get("pool"), device.get("source")) == ("disk", pool, volume)


def _owner(session: Session, kind: str, arguments: list[str]) -> Owner:
    """The instance or profile, on the pool's server."""
    remote, _ = session.parse(arguments[0])
    return Owner(session, kind, f"{remote}:{arguments[2]}")
