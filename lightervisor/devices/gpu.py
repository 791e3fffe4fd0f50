"""Graphics cards of the host. Source: LXD, device type gpu, gputype physical; Documentation/gpu/drm-uapi.rst."""

from collections.abc import Sequence
from pathlib import Path

from lightervisor.config.types import integer, matching
from lightervisor.devices import host_nodes
from lightervisor.devices.device import Options, device_scope
from lightervisor.devices.host_nodes import HostNodes
from lightervisor.errors import Invalid
from lightervisor.kernel import resources_devices
from lightervisor.kernel.sysfs import Node

PciAddress = matching("PCI address", r"([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]", "Invalid PCI address")
NVIDIA = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


class PhysicalGpu(HostNodes, type="gpu", variant="physical"):
    """One card by its number or address, or all of a vendor; all there are without options."""

    KEYS = host_nodes.declare(
        device_scope("gpu", "physical"),
        ("id", integer(0), "", "Number of the card"),
        ("pci", PciAddress, "", "Address of the card"),
        *host_nodes.IDS,
        *host_nodes.OWNER,
    )
    MISSING = "Failed to detect requested GPU device"

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for two ways to say which card."""
        refuse_beside(name, options, "pci", ("id", "productid", "vendorid"))
        refuse_beside(name, options, "id", ("productid", "vendorid"))

    @property
    def is_required(self) -> bool:
        """Always."""
        return True

    def follows(self) -> frozenset[str] | None:
        """Nothing, as in LXD: a card that comes while the instance runs is shown from its next start on."""
        return None

    def nodes(self) -> Sequence[Path]:
        """The nodes of matching cards, with those that NVIDIA's driver has for all of its cards."""
        found: list[Path] = []
        for card in resources_devices.gpu(self.sys)["cards"]:
            if _is_meant(card, self.options):
                drm = card["drm"]
                names = [drm[field] for field in ("card_name", "control_name", "render_name") if drm.get(field)]
                found += [self.dev / "dri" / name for name in names]
                if card.get("driver") == "nvidia":
                    found += [one for one in (self.dev / name for name in NVIDIA) if one.exists() and one not in found]
                    found += [one for one in [self.dev / f"nvidia{drm['id']}"] if one.exists()]
        return found


def _is_meant(card: Node, options: Options) -> bool:
    if options.get("id") and int(options["id"]) != card["drm"]["id"]:
        return False
    if wanted := options.get("pci", "").lower():
        return card.get("pci_address", "") == (wanted if wanted.count(":") == 2 else f"0000:{wanted}")
    return host_nodes.matches(card, options)


def refuse_beside(name: str, options: Options, present: str, others: Sequence[str]) -> None:
    """Raise Invalid for options beside one that says it all, in LXD's words."""
    for other in others:
        if options.get(present) and options.get(other):
            raise Invalid("device", name, text=f'Cannot use "{other}" when when "{present}" is set')
