"""USB devices of the host by vendor and product, at /dev/bus/usb inside as outside. Source: LXD, device type usb."""

from collections.abc import Sequence
from pathlib import Path

from lightervisor.devices import host_nodes
from lightervisor.devices.device import device_scope
from lightervisor.devices.host_nodes import HostNodes
from lightervisor.kernel import resources_devices


class Usb(HostNodes, type="usb"):
    """All that match; all there are, without vendor and product. Hubs are none."""

    KEYS = host_nodes.declare(device_scope("usb"), *host_nodes.IDS, *host_nodes.OWNER, host_nodes.REQUIRED)
    MISSING = "Required USB device not found"

    def nodes(self) -> Sequence[Path]:
        """Those of matching devices."""
        return [
            self.dev / "bus/usb" / f"{one['bus_address']:03d}" / f"{one['device_address']:03d}"
            for one in resources_devices.usb(self.sys)["devices"]
            if host_nodes.matches(one, self.options)
        ]
