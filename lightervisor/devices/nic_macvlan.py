"""An interface beside one of the host's, with a hardware address of its own: as if it had a plug in the same switch.

The host itself cannot be reached through it, and not by it. Source: LXD, nictype macvlan; ip-link(8).
"""

from lightervisor.devices import nic_keys
from lightervisor.devices.device import DeviceStart, Slot, device_scope
from lightervisor.devices.nic import Nic, in_guest
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink


class MacvlanNic(Nic, type="nic", variant="macvlan"):
    """Hangs on `parent`, or on a VLAN of it."""

    NETWORK_SAYS = nic_keys.UPLINK
    KEYS = nic_keys.declare(
        device_scope("nic", "macvlan"), ("network", "parent", "vlan", "gvrp", *nic_keys.COMMON, *nic_keys.MAAS)
    )

    def start(self, slot: Slot) -> DeviceStart:
        """Lines that make liblxc create the interface."""
        self.check_parent()
        volatile = self.make_parent()
        hwaddr = self.hwaddr
        pairs = [("hwaddr", hwaddr), ("link", self.parent), ("macvlan.mode", "bridge")]
        return DeviceStart(
            lines=self.lines(slot, "macvlan", *pairs), volatile=volatile | self.remembered(slot, hwaddr=hwaddr)
        )

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Create the interface in the container's network."""
        self.check_parent()
        volatile = self.make_parent()
        hwaddr = self.hwaddr
        with Netlink() as host:
            host.create_macvlan(slot.interface, self.parent, pid=guest.pid, hwaddr=hwaddr, mtu=self.mtu)
        in_guest(self.name, guest, lambda inside: inside.set(slot.interface, up=True))
        return DeviceStart(volatile=volatile | self.remembered(slot, hwaddr=hwaddr))

    def unplug(self, guest: Guest) -> None:
        """Delete the interface inside."""
        interface = self.options.get("name") or self.volatile("name")
        in_guest(self.name, guest, lambda inside: inside.delete(interface))

    def stop(self) -> None:
        """The interface ends with the container; the VLAN's goes."""
        self.remove_parent()
