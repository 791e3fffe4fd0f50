"""A virtual function of a network card. No card that has them was there to build this with: it is declared, its
options are checked, and it is refused at the start. Source: LXD, nictype sriov.
"""

from typing import Never

from lightervisor.config.types import Bool
from lightervisor.devices import nic_keys
from lightervisor.devices.device import DeviceStart, Slot, device_scope
from lightervisor.devices.nic import Nic
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel import sysfs
from lightervisor.kernel.guests import Guest


class SriovNic(Nic, type="nic", variant="sriov"):
    """Known by its options alone."""

    NETWORK_SAYS = nic_keys.UPLINK
    KEYS = nic_keys.declare(
        device_scope("nic", "sriov"),
        ("network", "parent", "vlan", *nic_keys.COMMON, *nic_keys.MAAS),
        ("security.mac_filtering", Bool, "false", "Let the card drop packets from other MAC addresses"),
    )

    def start(self, slot: Slot) -> DeviceStart:
        """Refuse it."""
        self.check_parent()
        refuse("device", self.name, self.options.get("parent", ""))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Refuse it for the same reason: stopping the instance would not help."""
        return self.start(slot)


def refuse(kind: str, name: str, parent: str) -> Never:
    """Raise Invalid or Unsupported: what lacks it is the card, or this server."""
    if sysfs.number(sysfs.SYS / "class/net" / parent / "device/sriov_totalvfs") == 0:
        raise Invalid(kind, name, text=f'Parent device "{parent}" doesn\'t support SR-IOV')
    cause = "virtual functions of network cards are not given out by this server"
    remedy = f"make one (sriov_numvfs of {parent}) and give it with nictype=physical"
    raise Unsupported(kind, name, cause=cause, remedy=remedy)
