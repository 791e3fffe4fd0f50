"""What all network cards share: a hardware address that is kept, names, and what liblxc is told.

Source: LXD, device type nic; lxc.container.conf(5), lxc.net.[i].
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path

from lightervisor.devices import vlan_links
from lightervisor.devices.device import Device, InstanceFacts, Line, Options, Slot
from lightervisor.devices.ports import UplinkPort
from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import guests
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink
from lightervisor.kernel.rtnetlink import Subnet


class Nic(Device):
    """A network card; a type of it overrides what it needs."""

    ORDER = 0
    NEEDS_PARENT = True
    NETWORK_SAYS = ("parent", "mtu")  # not the nic, when it names a network

    def __init__(self, name: str, options: Options, instance: InstanceFacts, resource: object | None = None) -> None:
        said = resource.options if isinstance(resource, UplinkPort) else dict[str, str]()
        super().__init__(name, {**options, **said}, instance, resource)

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for what no type of nic can have together."""
        known = {key.name for key in cls.KEYS}
        if options.get("network"):
            for other in cls.NETWORK_SAYS:
                if options.get(other):
                    text = f'Cannot use "{other}" property in conjunction with "network" property'
                    raise Invalid("device", name, text=text)
        elif "parent" in known and cls.NEEDS_PARENT and not options.get("parent"):
            raise Invalid("device", name, text='Invalid value for device option "parent": Required value')
        for option in ("maas.subnet.ipv4", "maas.subnet.ipv6"):
            if options.get(option):
                raise Invalid("device", name, text=f'The option "{option}" needs MAAS, which this server does not use')

    def choose(self) -> Mapping[str, str]:
        """The hardware address, unless it is known."""
        key = f"volatile.{self.name}.hwaddr"
        return {} if self.options.get("hwaddr") or self.instance.config.get(key) else {key: self.hwaddr}

    @property
    def hwaddr(self) -> str:
        """The hardware address that it was given or chosen; a new one each time without."""
        known = self.options.get("hwaddr") or self.volatile("hwaddr")
        return (known or "00:16:3e:" + secrets.token_bytes(3).hex(":")).lower()

    @property
    def mtu(self) -> int | None:
        """The largest packet as asked for."""
        return int(self.options["mtu"]) if self.options.get("mtu") else None

    @property
    def rules_label(self) -> str:
        """What the rules of this nic are called: unique on the host, where daemons share nftables' tables."""
        daemon = hashlib.sha256(bytes(self.instance.devices_dir.parent)).hexdigest()
        return f"{self.label}.{daemon[:8]}"

    def volatile(self, word: str) -> str:
        """What is remembered about this nic."""
        return self.instance.config.get(f"volatile.{self.name}.{word}", "")

    def remembered(self, slot: Slot, *, hwaddr: str = "", **more: str) -> dict[str, str]:
        """The volatile keys of a start: what was chosen and not asked for, and more by name."""
        found = {f"volatile.{self.name}.{word}": value for word, value in more.items()}
        if hwaddr and not self.options.get("hwaddr"):
            found[f"volatile.{self.name}.hwaddr"] = hwaddr
        if not self.options.get("name"):
            found[f"volatile.{self.name}.name"] = slot.interface
        return found

    def lines(self, slot: Slot, kind: str, *pairs: Line) -> tuple[Line, ...]:
        """What liblxc is told about this nic."""
        first: list[Line] = [("type", kind), ("flags", "up"), ("name", slot.interface)]
        if self.mtu:
            first.append(("mtu", str(self.mtu)))
        return tuple((f"lxc.net.{slot.index}.{name}", value) for name, value in [*first, *pairs])

    # The parent

    @property
    def parent(self) -> str:
        """The interface of the host that it hangs on, which may be a VLAN of the one that is named."""
        return vlan_links.name(self.options.get("parent", ""), self.options.get("vlan", ""))

    def check_parent(self) -> None:
        """Raise Invalid unless the interface that is named exists."""
        with Netlink() as host:
            if host.link(self.options.get("parent", "")) is None and host.link(self.parent) is None:
                raise Invalid("device", self.name, text=f'Parent device "{self.options.get("parent")}" doesn\'t exist')

    def make_parent(self) -> dict[str, str]:
        """Have the VLAN's interface, if there is to be one; the keys that remember whether it is ours."""
        made = vlan_links.ensure(self.options, self.parent)
        return {
            f"volatile.{self.name}.last_state.created": str(
                made or self.volatile("last_state.created") == "true"
            ).lower()
        }

    def remove_parent(self) -> None:
        """Remove the VLAN's interface if it is ours and nobody's else."""
        if self.options.get("vlan") and self.volatile("last_state.created") == "true":
            vlan_links.remove(self.parent)


def in_guest(device: str, guest: Guest, work: Callable[[Netlink], None]) -> None:
    """Work on the links of a running container. Raises HostError."""
    in_namespace(device, guests.network_of(guest.pid), work)


def in_namespace(device: str, file: Path, work: Callable[[Netlink], None]) -> None:
    """Work on the links of the network namespace that a file stands for. Raises HostError."""

    def enter() -> None:
        with Netlink() as inside:
            work(inside)

    try:
        guests.in_network_at(file, enter)
    except OSError as error:
        raise HostError("device", device, cause=f"network namespace: {error.strerror}") from error


def subnets(*values: str) -> set[Subnet]:
    """The subnets in several options, each a list with commas."""
    return {ip_network(part, strict=False) for part in parts(*values)}


def parts(*values: str) -> list[str]:
    """The items in several options, each a list with commas."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def differing(old: Options, new: Options) -> set[str]:
    """The options that are not the same."""
    return {name for name in {*old, *new} if old.get(name, "") != new.get(name, "")}


def first_duplicate(items: Iterable[str]) -> str:
    """The first item that was there before, "" without."""
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return ""
