"""InfiniBand cards. No such card was there to build this with: declared, checked and refused at the start.

Source: LXD, device type infiniband; Documentation/ABI/stable/sysfs-class-infiniband.
"""

from lightervisor.config.key import Key, key
from lightervisor.config.types import integer, matching
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.devices.nic_keys import InterfaceName
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel import sysfs
from lightervisor.kernel.guests import Guest

HwAddr = matching(
    "8 or 20 bytes",
    r"(?i)[0-9a-f]{2}((:[0-9a-f]{2}){7}|(:[0-9a-f]{2}){19})",
    "Invalid value, must be either 8 or 20 bytes of hex separated by colons",
)


def _keys(variant: str) -> tuple[Key, ...]:
    rows = (
        ("parent", InterfaceName, "Interface of the host"),
        ("name", InterfaceName, "Name of the interface inside"),
        ("hwaddr", HwAddr, "Hardware address: all 20 bytes, or the last 8"),
        ("mtu", integer(1, 65535), "Largest packet"),
    )
    scope = device_scope("infiniband", variant)
    return tuple(key(name, kind, scope=scope, group="infiniband", help=text) for name, kind, text in rows)


class Infiniband(Device):
    """What both kinds share."""

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid without a parent."""
        if not options.get("parent"):
            raise Invalid("device", name, text='Invalid value for device option "parent": Required value')

    def start(self, slot: Slot) -> DeviceStart:
        """Refuse, and say whether the host or this server is what lacks it."""
        parent = self.options["parent"]
        if not (sysfs.SYS / "class/net" / parent).exists():
            raise Invalid("device", self.name, text=f'Parent device "{parent}" doesn\'t exist')
        cards = sysfs.entries(sysfs.SYS / "class/infiniband")
        if not any((card / "device/net" / parent).exists() for card in cards):
            raise Invalid("device", self.name, text=f'Parent device "{parent}" is not an InfiniBand device')
        cause = "InfiniBand cards are not given out by this server"
        remedy = "give the nodes of /dev/infiniband as unix-char devices, and the interface with nictype=physical"
        raise Unsupported("device", self.name, cause=cause, remedy=remedy)

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Refuse it for the same reason: stopping the instance would not help."""
        return self.start(slot)


class PhysicalInfiniband(Infiniband, type="infiniband", variant="physical"):
    """A card."""

    KEYS = _keys("physical")


class SriovInfiniband(Infiniband, type="infiniband", variant="sriov"):
    """A virtual function of a card."""

    KEYS = _keys("sriov")
