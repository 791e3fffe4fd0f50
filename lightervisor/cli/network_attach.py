"""`lxc network attach`, `detach` and the same for profiles: a network's interface among the devices of an owner."""

from __future__ import annotations

from lightervisor.cli.config_device import Owner
from lightervisor.cli.errors import CommandError
from lightervisor.cli.network import KIND
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def attach(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an instance an interface on a network."""
    _ = flags
    _attach(session, "instances", arguments)


def attach_profile(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give a profile an interface on a network."""
    _ = flags
    _attach(session, "profiles", arguments)


def detach(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take an interface on a network away from an instance."""
    _ = flags
    _detach(session, "instances", arguments)


def detach_profile(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take an interface on a network away from a profile."""
    _ = flags
    _detach(session, "profiles", arguments)


def _attach(session: Session, kind: str, arguments: list[str]) -> None:
    server, network = KIND.place(session, arguments[0])
    found = server.get(url("networks", network))
    owner = _owner(session, kind, arguments)
    name = arguments[2] if len(arguments) > 2 else network
    if name in owner.devices:
        raise CommandError(f"Device already exists: {name}")
    owner.devices[name] = _device(found, kind)
    if len(arguments) > 3:
        owner.devices[name]["name"] = arguments[3]
    owner.save()


def _device(network: dict[str, Any], kind: str) -> dict[str, str]:
    """The interface's settings: LXD's client names the bridge in profiles, and the network wherever else it can."""
    is_bridge = network["type"] == "bridge"
    if network.get("managed") and not (is_bridge and kind == "profiles"):
        return {"type": "nic", "network": network["name"]}
    return {"type": "nic", "nictype": "bridged" if is_bridge else "macvlan", "parent": network["name"]}


def _detach(session: Session, kind: str, arguments: list[str]) -> None:
    _, network = KIND.place(session, arguments[0])
    owner = _owner(session, kind, arguments)
    if len(arguments) > 2:
        name = arguments[2]
        if name not in owner.devices:
            raise CommandError("The specified device doesn't exist")
        if not _is_on(owner.devices[name], network):
            raise CommandError("The specified device doesn't match the network")
    else:
        on_it = [name for name, device in owner.devices.items() if _is_on(device, network)]
        if not on_it:
            raise CommandError("No device found for this network")
        if len(on_it) > 1:
            raise CommandError("More than one device matches, specify the device name")
        name = on_it[0]
    del owner.devices[name]
    owner.save()


def _is_on(device: dict[str, str], network: str) -> bool:
    return device.get("type") == "nic" and network in (device.get("network"), device.get("parent"))


def _owner(session: Session, kind: str, arguments: list[str]) -> Owner:
    """The instance or profile, on the network's server."""
    remote, _ = session.parse(arguments[0])
    return Owner(session, kind, f"{remote}:{arguments[1]}")
