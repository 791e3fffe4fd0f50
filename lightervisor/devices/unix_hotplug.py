"""Nodes that belong to a device of the host told by vendor and product: the serial port of a USB adapter, say.

Source: LXD, device type unix-hotplug; sysfs(5), uevent.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightervisor.devices import host_nodes
from lightervisor.devices.device import Options, device_scope
from lightervisor.devices.host_nodes import HostNodes
from lightervisor.errors import Invalid
from lightervisor.kernel import sysfs

BUSES = ("usb", "pci")


class UnixHotplug(HostNodes, type="unix-hotplug"):
    """Needs a vendor or a product. The node of the USB device itself is left to the type `usb`."""

    KEYS = host_nodes.declare(device_scope("unix-hotplug"), *host_nodes.IDS, *host_nodes.OWNER, host_nodes.REQUIRED)
    MISSING = "Required Unix Hotplug device not found"

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid unless something says which device it is."""
        if not options.get("vendorid") and not options.get("productid"):
            raise Invalid("device", name, text="Unix hotplug devices require a vendorid or a productid")

    def nodes(self) -> Sequence[Path]:
        """The nodes of what hangs on matching devices."""
        found: set[str] = set()
        for bus in BUSES:
            for device in sysfs.entries(self.sys / "bus" / bus / "devices"):
                if host_nodes.matches(host_nodes.identity(device), self.options):
                    found |= set(_nodes(device))
        return [self.dev / name for name in sorted(found)]


def _nodes(device: Path) -> Iterator[str]:
    for folder, names, files in os.walk(device.resolve()):
        # Devices behind a hub or a bridge have vendors of their own.
        names[:] = [name for name in names if not host_nodes.identity(Path(folder, name))["vendor_id"]]
        if "dev" in files and sysfs.link_name(Path(folder, "subsystem")) not in BUSES:
            lines = sysfs.text(Path(folder, "uevent")).splitlines()
            for name in (line.removeprefix("DEVNAME=") for line in lines if line.startswith("DEVNAME=")):
                yield name.removeprefix("/dev/")
