"""What a network gives to a nic: where to plug in, resolved by the service above. A nic never looks up a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class HostEntry:
    """One nic as a DHCP server knows it. `owner` is unique: "<instance>.<device>", as LXD names the file."""

    owner: str
    hwaddr: str
    hostname: str
    ipv4: str = ""
    ipv6: str = ""


class Hosts(Protocol):
    """What a network's DHCP server knows of its clients. All calls may be repeated; they take effect at once."""

    def put(self, entry: HostEntry, *, choose: bool = False) -> HostEntry:
        """Reserve addresses and the DNS name for a nic; what was reserved.

        With `choose` a nic without an IPv4 address gets the one that it had, or a free one. Raises HostError.
        """
        ...

    def remove(self, owner: str) -> None:
        """Forget what was reserved; nothing happens when there was nothing."""
        ...

    def owner_of(self, address: str) -> str:
        """Whose reserved IP or hardware address this is, "" when it is nobody's."""
        ...

    def release(self, hwaddr: str) -> None:
        """Forget the addresses that were given to a nic, as if it had given them back."""
        ...


@dataclass(frozen=True, kw_only=True)
class BridgePort:
    """A place on a bridge. `network` is empty for a bridge that we do not manage, `hosts` is None without DHCP."""

    bridge: str
    network: str = ""
    mtu: int | None = None
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    hosts: Hosts | None = None


@dataclass(frozen=True, kw_only=True)
class UplinkPort:
    """A network that is an interface of the host: the options that it says, and the nic does not."""

    options: Mapping[str, str]


Port = BridgePort | UplinkPort
