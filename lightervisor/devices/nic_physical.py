"""An interface of the host, given to the instance as it is while it runs.

Its name, hardware address and largest packet are remembered and set again when it comes back. liblxc gives back what it
was given at the start. One that was plugged in would end with the container's network, or come back under the guest's
name: so that network is kept, by a mount, until the interface is fetched. Source: LXD, nictype physical;
network_namespaces(7).
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from lightervisor.devices import nic_keys
from lightervisor.devices.device import DeviceStart, Slot, device_scope
from lightervisor.devices.nic import Nic, in_guest, in_namespace
from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import guests, mounts
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink


class PhysicalNic(Nic, type="nic", variant="physical"):
    """Takes `parent`, or the interface for a VLAN of it."""

    NETWORK_SAYS = nic_keys.UPLINK
    KEYS = nic_keys.declare(
        device_scope("nic", "physical"), ("network", "parent", "vlan", "gvrp", *nic_keys.COMMON, *nic_keys.MAAS)
    )

    def choose(self) -> Mapping[str, str]:
        """The interface has a hardware address."""
        return {}

    def start(self, slot: Slot) -> DeviceStart:
        """Lines that make liblxc move the interface; it moves it back, too."""
        volatile = self._prepared()
        return DeviceStart(
            lines=self.lines(slot, "phys", ("link", self.parent)), volatile=volatile | self.remembered(slot)
        )

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Move the interface into the container's network."""
        volatile = self._prepared()
        self._keep_network(guest)
        try:
            with Netlink() as host:
                host.set(self.parent, up=False)
                host.set(self.parent, namespace_pid=guest.pid, new_name=slot.interface)
            in_guest(self.name, guest, lambda inside: inside.set(slot.interface, up=True))
        except BaseException:
            self._let_network_go()
            raise
        return DeviceStart(volatile=volatile | self.remembered(slot))

    def unplug(self, guest: Guest) -> None:
        """Move the interface back under the name that it had."""
        self._fetch(guests.network_of(guest.pid))

    def stop(self) -> None:
        """Set again what was changed for the container, once the interface is back."""
        if mounts.is_mountpoint(self._network):
            try:
                self._fetch(self._network)
            finally:
                self._let_network_go()
        with Netlink() as host:
            if host.link(self.parent) is not None:
                mtu = self.volatile("last_state.mtu")
                hwaddr = self.volatile("last_state.hwaddr")
                if mtu or hwaddr:
                    host.set(self.parent, hwaddr=hwaddr, mtu=int(mtu) if mtu else None)
        self.remove_parent()

    @property
    def _network(self) -> Path:
        return self.host_side("net", "")

    def _keep_network(self, guest: Guest) -> None:
        try:
            self.make_directory()
            self._network.touch(0o600)
            mounts.bind(guests.network_of(guest.pid), self._network)
        except OSError as error:
            raise HostError("device", self.name, cause=f"network namespace: {error.strerror}") from error

    def _let_network_go(self) -> None:
        mounts.umount_alone(self._network)
        with contextlib.suppress(FileNotFoundError):
            self._network.unlink()

    def _fetch(self, network: Path) -> None:
        """Move the interface from there, if it is there, under the name that it had. Raises HostError."""
        interface = self.options.get("name") or self.volatile("name")
        host = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        def back(inside: Netlink) -> None:
            if inside.link(interface) is not None:
                inside.set(interface, up=False)
                inside.set(interface, namespace=host, new_name=self.parent)

        try:
            in_namespace(self.name, network, back)
        finally:
            os.close(host)

    def _prepared(self) -> dict[str, str]:
        """Have the interface as asked for; the keys that remember what it was."""
        self.check_parent()
        volatile = self.make_parent()
        with Netlink() as host:
            link = host.link(self.parent)
            if link is None:
                raise Invalid("device", self.name, text=f'Parent device "{self.parent}" doesn\'t exist')
            key = f"volatile.{self.name}.last_state"
            if self.mtu:
                volatile[f"{key}.mtu"] = str(link.mtu)
            if self.options.get("hwaddr"):
                volatile[f"{key}.hwaddr"] = link.hwaddr
                host.set(self.parent, up=False)
                host.set(self.parent, hwaddr=self.options["hwaddr"])
            if self.mtu:
                host.set(self.parent, mtu=self.mtu)
        return volatile
