"""Network cards at one end of a cable (veth), whose other end is on the host: bridged, p2p and routed.

At a start liblxc makes the cable, which is quicker than making it here and moving it; in a running container it is
made here, with one end in its network.
"""

import contextlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from lightervisor.devices import nic_limits
from lightervisor.devices.device import DeviceStart, Line, Options, Slot
from lightervisor.devices.nic import Nic, differing, in_guest, parts
from lightervisor.devices.nic_keys import LIMITS, ROUTES
from lightervisor.devices.nic_limits import Limits
from lightervisor.errors import Conflict, HostError
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink
from lightervisor.kernel.rtnetlink import Ip, Subnet

IPV6 = Path("/proc/sys/net/ipv6/conf")


class Cable(NamedTuple):
    """The cable of one start or plug."""

    host_name: str
    interface: str
    hwaddr: str


class CableNic(Nic):
    """A card on a cable."""

    LIVE: Sequence[str] = (*LIMITS, *ROUTES)
    HOST_SPEAKS_IPV6 = False

    def prepare(self, host: Netlink, cable: Cable) -> Mapping[str, str]:
        """What must be there before the cable is; more volatile keys to keep. Raises Invalid or HostError."""
        return {}

    def cable_lines(self, cable: Cable) -> Iterable[Line]:
        """More for liblxc than name and addresses of the cable."""
        return ()

    def attach(self, host: Netlink, cable: Cable) -> None:
        """What liblxc does on the host by those lines, done here. Raises HostError."""

    def furnish(self, inside: Netlink, cable: Cable) -> None:
        """What liblxc does inside by those lines, done here, in the network of the container."""
        inside.set(cable.interface, up=True)

    def settle(self, host: Netlink, host_name: str) -> None:
        """What can be done once the host's end exists; may be called again. Raises HostError."""
        if not self.HOST_SPEAKS_IPV6:
            with contextlib.suppress(OSError):  # the instance may be gone already, or the kernel knows no IPv6
                (IPV6 / host_name / "disable_ipv6").write_text("1")
        if self._queue is not None:
            host.set(host_name, queue=self._queue)
        nic_limits.apply(self.rules_label, host_name, self._limits())
        self.set_routes(host, host_name, {}, self.options)

    def clear(self, host: Netlink) -> None:
        """Take back what `prepare` did, as far as it is there. Raises HostError."""

    def route_link(self, host_name: str) -> str:
        """The interface that leads to the instance's own subnets."""
        return host_name

    def start(self, slot: Slot) -> DeviceStart:
        """Lines that make liblxc create the cable."""
        cable = self._cable(slot)
        with Netlink() as host:
            self._check_free(host, cable)
            more = self.prepare(host, cable)
        pairs: list[Line] = [("hwaddr", cable.hwaddr), ("veth.pair", cable.host_name), *self.cable_lines(cable)]
        volatile = self.remembered(slot, hwaddr=cable.hwaddr, host_name=cable.host_name)
        return DeviceStart(
            lines=self.lines(slot, "veth", *pairs),
            volatile={**more, **volatile},
            after_start=lambda pid: self._settle(cable, Guest(pid)),
        )

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Create the cable as liblxc does at a start."""
        cable = self._cable(slot)
        with Netlink() as host:
            self._check_free(host, cable)
            try:
                more = self.prepare(host, cable)
                host.create_cable(cable.host_name, cable.interface, guest.pid, hwaddr=cable.hwaddr, mtu=self.mtu)
                self.attach(host, cable)
                host.set(cable.host_name, up=True)
                in_guest(self.name, guest, lambda inside: self.furnish(inside, cable))
                self.settle(host, cable.host_name)
                self._settle_inside(cable, guest)
            except BaseException:
                host.delete(cable.host_name)
                self.stop()
                raise
        volatile = self.remembered(slot, hwaddr=cable.hwaddr, host_name=cable.host_name)
        return DeviceStart(volatile={**more, **volatile})

    def mend(self, guest: Guest) -> None:
        """After a reboot the cable is another one with the same name."""
        if host_name := self.volatile("host_name"):
            cable = Cable(host_name, self.options.get("name") or self.volatile("name"), self.hwaddr)
            with Netlink() as host:
                if host.link(host_name) is not None:
                    self.prepare(host, cable)
                    self.settle(host, host_name)
                    self._settle_inside(cable, guest)

    def stop(self) -> None:
        """Remove the cable if liblxc has not, and with it what is bound to it."""
        host_name = self.volatile("host_name")
        with Netlink() as host:
            if host_name:
                nic_limits.remove(self.rules_label, host_name, self._limits())
                link = host.link(host_name)
                if link is not None and link.kind == "veth":
                    host.delete(host_name)
            self.clear(host)

    def update(self, options: Options) -> bool:
        """Limits and routes follow at once; anything else needs remove and add."""
        changed = differing(self.options, options)
        if not changed.issubset(self.LIVE):
            return False
        old, self.options = self.options, dict(options)
        host_name = self.volatile("host_name")
        with Netlink() as host:
            if host_name:
                nic_limits.apply(self.rules_label, host_name, self._limits(), Limits.of(old, self.instance.config))
                self.set_routes(host, host_name, old, options)
            self.follow(host, old)
        return True

    def limit(self, before: Mapping[str, str]) -> None:
        """The instance's priority may have changed."""
        if host_name := self.volatile("host_name"):
            nic_limits.apply(self.rules_label, host_name, self._limits(), Limits.of(self.options, before))

    def _limits(self) -> Limits:
        return Limits.of(self.options, self.instance.config)

    def follow(self, host: Netlink, old: Options) -> None:
        """Apply more of what changed; the options are the new ones already. Raises HostError."""

    def set_routes(self, host: Netlink, host_name: str, old: Options, new: Options) -> None:
        """Have the host's routes to the instance's own subnets. Raises HostError naming the route."""
        link = self.route_link(host_name)
        wanted, before = self.routes(new), self.routes(old)
        for route in before - wanted:
            host.delete_route(link, ip_network(route, strict=False))
        for route in wanted - before:
            try:
                network = ip_network(route, strict=False)
                host.add_route(link, network, gateway=self.gateway_of(network))
            except HostError as error:
                raise HostError("route", route, cause=error.cause) from error

    def gateway_of(self, route: Subnet) -> Ip | None:
        """The address of the instance that one of its own subnets is behind; None when it is on the link."""
        return None

    def routes(self, options: Options) -> set[str]:
        """The instance's own subnets, as they are written."""
        return set(parts(*(options.get(option, "") for option in ROUTES)))

    def _cable(self, slot: Slot) -> Cable:
        host_name = self.options.get("host_name") or f"veth{secrets.token_hex(4)}"
        return Cable(host_name, slot.interface, self.hwaddr)

    def _check_free(self, host: Netlink, cable: Cable) -> None:
        if host.link(cable.host_name) is not None:
            raise Conflict("network interface", cable.host_name, cause="exists already on this host")

    def _settle(self, cable: Cable, guest: Guest) -> None:
        with Netlink() as host:
            self.settle(host, cable.host_name)
        self._settle_inside(cable, guest)

    def _settle_inside(self, cable: Cable, guest: Guest) -> None:
        """The queue is as long at both ends. A guest that has renamed or removed its end keeps what it has."""
        if self._queue is None:
            return

        def work(inside: Netlink) -> None:
            if inside.link(cable.interface) is not None:
                inside.set(cable.interface, queue=self._queue)

        in_guest(self.name, guest, work)

    @property
    def _queue(self) -> int | None:
        value = self.options.get("queue.tx.length")
        return int(value) if value else None
