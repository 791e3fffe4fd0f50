"""Parts of NVIDIA's large cards. They need NVIDIA's own programs and such a card, of which none was there to build this
with: declared, checked and refused at the start. Source: LXD, device type gpu, gputype mig.
"""

from lightervisor.config.types import integer, matching
from lightervisor.devices import host_nodes
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.devices.gpu import PciAddress, refuse_beside
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel.guests import Guest

Uuid = matching("UUID", r"(MIG-)?(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", "Invalid UUID")


class MigGpu(Device, type="gpu", variant="mig"):
    """Known by its options alone."""

    KEYS = host_nodes.declare(
        device_scope("gpu", "mig"),
        ("id", integer(0), "", "Number of the card"),
        ("pci", PciAddress, "", "Address of the card"),
        *host_nodes.IDS,
        ("mig.ci", integer(0), "", "Compute instance"),
        ("mig.gi", integer(0), "", "GPU instance"),
        ("mig.uuid", Uuid, "", "Both, by UUID"),
    )

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid unless it is told which part of which card."""
        refuse_beside(name, options, "pci", ("id", "productid", "vendorid"))
        refuse_beside(name, options, "id", ("productid", "vendorid"))
        for other in ("mig.ci", "mig.gi"):
            if options.get("mig.uuid") and options.get(other):
                raise Invalid("device", name, text=f'Cannot use "{other}" when "mig.uuid" is set')
        if not options.get("mig.uuid") and not (options.get("mig.ci") and options.get("mig.gi")):
            raise Invalid("device", name, text='Either "mig.uuid" or both "mig.gi" and "mig.ci" must be set')

    def start(self, slot: Slot) -> DeviceStart:
        """Refuse."""
        cause = "parts of cards (MIG) are not given out by this server"
        raise Unsupported("device", self.name, cause=cause, remedy="give the whole card with gputype=physical")

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Refuse it for the same reason: stopping the instance would not help."""
        return self.start(slot)
