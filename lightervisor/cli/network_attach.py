"""`lxc network attach`, `detach` and the same for profiles: a network's interface among the devices of an owner."""

from __future__ import annotations

from lightervisor.cli.attached import Attached
from lightervisor.cli.network import KIND
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightervisor.cli.session import Session


def _device(session: Session, arguments: list[str], owners: str) -> tuple[str, dict[str, str]]:
    """The interface's settings: LXD's client names the bridge in profiles, and the network wherever else it can."""
    server, name = KIND.place(session, arguments[0])
    network = server.get(url("networks", name))
    is_bridge = network["type"] == "bridge"
    if network.get("managed") and not (is_bridge and owners == "profiles"):
        device = {"type": "nic", "network": network["name"]}
    else:
        device = {"type": "nic", "nictype": "bridged" if is_bridge else "macvlan", "parent": network["name"]}
    if len(arguments) > 3:
        device["name"] = arguments[3]
    return arguments[2] if len(arguments) > 2 else name, device


def _on(session: Session, arguments: list[str]) -> Callable[[dict[str, str]], bool]:
    _, network = KIND.place(session, arguments[0])
    return lambda device: device.get("type") == "nic" and network in (device.get("network"), device.get("parent"))


attach, attach_profile, detach, detach_profile = Attached(
    words=1, what="network", whole="network", device=_device, matcher=_on
).handlers()
