"""The host's hardware as the API tells it. Source: LXD, GET /1.0/resources."""

import msgspec

from lightervisor.kernel import resources, resources_devices
from lightervisor.model.resources import Resources


def read() -> Resources:
    """Everything that the kernel knows of the hardware; blocking, some milliseconds."""
    found = {
        "cpu": resources.cpu(),
        "memory": resources.memory(),
        "gpu": resources_devices.gpu(),
        "network": resources_devices.network(),
        "storage": resources_devices.storage(),
        "usb": resources_devices.usb(),
        "pci": resources_devices.pci(),
        "system": resources.system(),
    }
    return msgspec.convert(found, Resources)
