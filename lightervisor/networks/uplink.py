"""Networks that are an interface of the host, `parent`, or a VLAN of it: what the types of them share.

Instances get an interface of their own on it; addresses come from whatever is out there. Source: LXD, network types
macvlan, sriov and physical.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from lightervisor.config.key import Key, key
from lightervisor.config.types import Blob, Text, ValueType
from lightervisor.devices import nic_keys, vlan_links
from lightervisor.devices.ports import UplinkPort
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel.netlink import Netlink
from lightervisor.model.network import NetworkLease
from lightervisor.networks.driver import NetworkDriver, Plan, Subnet

Row = tuple[str, ValueType, str, str]
COMMON: tuple[Row, ...] = (
    ("parent", nic_keys.InterfaceName, "", "Interface of the host"),
    ("vlan", nic_keys.Vlan, "", "VLAN of the parent"),
    ("mtu", nic_keys.Mtu, "", "Largest packet"),
    ("maas.subnet.ipv4", Text, "", "MAAS subnet"),
    ("maas.subnet.ipv6", Text, "", "MAAS subnet"),
    ("user.*", Blob, "", "Free for the user"),
    ("volatile.*", Text, "", "Kept by the daemon"),
)


def declare(kind: str, rows: Iterable[Row]) -> tuple[Key, ...]:
    """The keys of a type: those that all have, and its own as (name, type, default, help)."""
    return tuple(
        key(name, value, scope=f"network.{kind}", default=default, live=True, group=name.partition(".")[0], help=text)
        for name, value, default, text in (*COMMON, *rows)
    )


class Uplink(NetworkDriver):
    """Makes nothing on the host of its own."""

    OWNS_INTERFACE = False
    LATER: ClassVar[tuple[str, ...]] = ("maas.", "bgp.")

    @classmethod
    def fill(
        cls, config: Mapping[str, str], taken: Sequence[Subnet], old: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """As it is."""
        return dict(config)

    @classmethod
    def check(cls, name: str, config: Mapping[str, str], taken: Sequence[Subnet]) -> None:
        """Refuse one without a parent, and what would do nothing here."""
        if not config.get("parent"):
            text = f'Invalid value for network "{name}" option "parent": Required value'
            raise Invalid("network", name, text=text)
        for option, value in config.items():
            if value and option.startswith(cls.LATER):
                raise Unsupported("network option", option, cause=f"{option}={value} is not supported by this server")

    def start(self, old: Mapping[str, str] | None = None) -> list[str]:
        """Look whether the parent is there. Raises Invalid."""
        parent = self.plan.config["parent"]
        with Netlink() as host:
            if host.link(parent) is None:
                raise Invalid("network", self.plan.name, text=f'Parent interface "{parent}" not found')
        return []

    def stop(self) -> None:
        """Nothing of it is on the host."""

    def delete(self) -> None:
        """Stop: there are no files."""
        self.stop()

    def rename(self, new: Plan) -> None:
        """Nothing has its name."""

    def leases(self) -> list[NetworkLease]:
        """Refused: who gives addresses is out there."""
        raise Unsupported("network", self.plan.name, text="Not implemented", remedy="addresses are given by others")

    def port(self) -> UplinkPort:
        """The parent and what else the network says."""
        said = ("parent", "vlan", "mtu", "gvrp")
        return UplinkPort(options={name: self.plan.config[name] for name in said if self.plan.config.get(name)})

    def waits_for(self, interface: str) -> bool:
        """Its parent."""
        return interface == self.plan.config["parent"]

    @property
    def interface(self) -> str:
        """The parent, or the interface for the VLAN of it."""
        return vlan_links.name(self.plan.config["parent"], self.plan.config.get("vlan", ""))
