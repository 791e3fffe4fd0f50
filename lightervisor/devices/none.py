"""The device type that masks an inherited device of the same name. Source: LXD, device type none."""

from lightervisor.devices.device import Device, DeviceStart, Slot


class Nothing(Device, type="none"):
    """No options, no effect."""

    def start(self, slot: Slot) -> DeviceStart:
        """Nothing to do."""
        return DeviceStart()
