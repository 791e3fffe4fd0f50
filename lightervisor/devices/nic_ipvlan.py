"""An interface that shares its parent's hardware address, told apart by IP addresses. It cannot be plugged while the
instance runs, as in LXD. Source: LXD, nictype ipvlan; the kernel's documentation of ipvlan; lxc.container.conf(5).
"""

import secrets
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from lightervisor.config.types import Checked, address, list_of, refuse
from lightervisor.devices import nic_keys
from lightervisor.devices.device import DeviceStart, Line, Options, Slot, device_scope
from lightervisor.devices.nic import Nic, first_duplicate, in_guest, parts
from lightervisor.errors import HostError, Invalid, Unsupported
from lightervisor.kernel import sysfs
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink

VERSIONS = ("ipv4", "ipv6")
ANY_ADDRESS = {version: address(int(version[-1])) for version in VERSIONS}


def _check_mode(value: str) -> None:
    if value not in ("l3s", "l2"):
        raise refuse("Must be one of: l3s, l2")


def _check_text(_value: str) -> None:
    """What it may be depends on the mode: `validate` knows that."""


class IpvlanNic(Nic, type="nic", variant="ipvlan"):
    """Hangs on `parent`, or on a VLAN of it."""

    KEYS = nic_keys.declare(
        device_scope("nic", "ipvlan"),
        ("parent", "vlan", "gvrp", *nic_keys.COMMON),
        ("mode", Checked("one of l3s, l2", _check_mode), "l3s", "At which layer packets are told apart"),
        *((f"{one}.address", Checked("addresses", _check_text), "", "Addresses of the instance") for one in VERSIONS),
        *(
            (
                f"{one}.gateway",
                Checked("auto, none or address", _check_text),
                "auto",
                "In l2 mode the gateway's address",
            )
            for one in VERSIONS
        ),
        *((f"{one}.host_table", nic_keys.Table, "", "One more routing table for the routes") for one in VERSIONS),
    )

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for addresses and gateways that the mode does not have."""
        super().validate(name, options)
        is_l2 = options.get("mode") == "l2"
        for version in VERSIONS:
            for option, check in ((f"{version}.address", _addresses(version, is_l2=is_l2)),
                                  (f"{version}.gateway", _gateway(version, is_l2=is_l2))):  # fmt: skip
                try:
                    if options.get(option):
                        check.check(options[option])
                except Invalid as error:
                    text = f'Invalid value for device option "{option}": {error.sentence()}'
                    raise Invalid("device", name, text=text) from error
            if twice := first_duplicate(parts(options.get(f"{version}.address", ""))):
                raise Invalid("device", name, text=f'Duplicate address "{twice}" in "{version}.address"')

    def choose(self) -> Mapping[str, str]:
        """The hardware address is the parent's."""
        return {}

    def check_host(self) -> None:
        """Raise Invalid where the parent would not pass packets on."""
        self.check_parent()
        if self._is_l2:
            return
        for version, key in (("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "proxy_ndp")):
            place = Path("/proc/sys/net") / version / "conf" / self.parent / key
            if self.options.get(f"{version}.address") and place.exists() and sysfs.number(place) != 1:
                wanted = f"net.{version}.conf.{self.parent}.{key}=1"
                text = f"IPVLAN in L3S mode requires sysctl {wanted}"
                raise Invalid("device", self.name, text=text, remedy=f"sysctl -w {wanted}")

    def start(self, slot: Slot) -> DeviceStart:
        """Lines that make liblxc create the interface, and answer for its addresses on the parent's link."""
        self.check_parent()
        volatile = self.make_parent()
        self._check_kernel()
        pairs: list[Line] = [("link", self.parent), ("ipvlan.mode", "l2" if self._is_l2 else "l3s")]
        pairs.append(("ipvlan.isolation", "bridge"))
        if not self._is_l2 and any(self.options.get(f"{version}.address") for version in VERSIONS):
            pairs.append(("l2proxy", "1"))
        pairs += self._addresses()
        self._set_tables({}, self.options)
        return DeviceStart(lines=self.lines(slot, "ipvlan", *pairs), volatile=volatile | self.remembered(slot))

    def unplug(self, guest: Guest) -> None:
        """Delete the interface inside."""
        interface = self.options.get("name") or self.volatile("name")
        in_guest(self.name, guest, lambda inside: inside.delete(interface))

    def stop(self) -> None:
        """The interface ends with the container; routes and the VLAN's interface go."""
        self._set_tables(self.options, {})
        self.remove_parent()

    @property
    def _is_l2(self) -> bool:
        return self.options.get("mode") == "l2"

    def _addresses(self) -> Iterable[Line]:
        for version in VERSIONS:
            found = parts(self.options.get(f"{version}.address", ""))
            for one in found:
                alone = f"{one}/{ip_address(one).max_prefixlen}" if "/" not in one else one
                yield f"{version}.address", str(ip_interface(alone))
            gateway = self.options.get(f"{version}.gateway") or ("" if self._is_l2 else "auto")
            if found and gateway not in ("", "none"):
                yield f"{version}.gateway", "dev" if gateway == "auto" else gateway

    def _check_kernel(self) -> None:
        """Raise Unsupported when the kernel has no such interfaces: liblxc would only say that it failed."""
        probe = f"lvp{secrets.token_hex(5)}"
        with Netlink() as host:
            try:
                host.create_ipvlan(probe, self.parent, l2=self._is_l2, pid=None)
            except HostError as error:
                if "not supported" in error.cause.lower() or "Unknown device type" in error.cause:
                    cause = "this kernel has no ipvlan (CONFIG_IPVLAN, CONFIG_NETFILTER for l3s)"
                    remedy = "modprobe ipvlan, or use nictype=macvlan or routed"
                    raise Unsupported("nic type", "ipvlan", cause=cause, remedy=remedy) from error
                raise
            host.delete(probe)

    def _set_tables(self, old: Options, new: Options) -> None:
        before, wanted = _table_routes(old), _table_routes(new)
        if before == wanted:
            return
        with Netlink() as host:
            for one, table in before - wanted:
                host.delete_route("lo", ip_network(one), table=table)
            for one, table in wanted - before:
                host.add_route("lo", ip_network(one), table=table)


def _table_routes(options: Options) -> set[tuple[str, int]]:
    return {
        (str(ip_interface(one).ip), int(options[f"{version}.host_table"]))
        for version in VERSIONS
        if options.get(f"{version}.host_table")
        for one in parts(options.get(f"{version}.address", ""))
    }


def _addresses(version: str, *, is_l2: bool) -> Checked:
    def check(value: str) -> None:
        ANY_ADDRESS[version].check(value.partition("/")[0] if is_l2 else value)
        if "/" in value:
            try:
                ip_interface(value)
            except ValueError as error:
                raise refuse(f"invalid CIDR address: {value}") from error

    return list_of(Checked("address", check))


def _gateway(version: str, *, is_l2: bool) -> Checked:
    def check(value: str) -> None:
        if is_l2:
            ANY_ADDRESS[version].check(value)
        else:
            nic_keys.Gateway.check(value)

    return Checked("gateway", check)
