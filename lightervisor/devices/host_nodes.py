"""Device nodes that are found, not named: by vendor and product, or by a card. One device shows several of them.

What is found is shown by a `unix-char` or `unix-block` device each, at the place it has on the host. `refresh` looks
again, as devices come and go while the instance runs.
"""

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lightervisor.config.key import Key, key
from lightervisor.config.types import Bool, UnixId, ValueType, is_true, matching
from lightervisor.devices.device import Device, DeviceStart, Options, Refreshed, Slot
from lightervisor.devices.unix_node import Mode, UnixBlock, UnixChar, UnixNode
from lightervisor.errors import Failure, Invalid
from lightervisor.kernel import sysfs
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.sysfs import SYS

HexId = matching("four hex characters", r"[0-9a-f]{4}", "Invalid value, must be four lower case hex characters")
OWNER: tuple[tuple[str, ValueType, str, str], ...] = (
    ("uid", UnixId, "0", "Owner inside"),
    ("gid", UnixId, "0", "Group inside"),
    ("mode", Mode, "0660", "Permissions inside"),
)
IDS: tuple[tuple[str, ValueType, str, str], ...] = (
    ("vendorid", HexId, "", "Vendor"),
    ("productid", HexId, "", "Product"),
)
log = logging.getLogger(__name__)
DEV, INSIDE = Path("/dev"), "dev/"
REQUIRED: tuple[str, ValueType, str, str] = ("required", Bool, "false", "Fail to start when there is none")


def declare(scope: str, *rows: tuple[str, ValueType, str, str]) -> tuple[Key, ...]:
    """Keys of a type."""
    return tuple(
        key(name, kind, scope=scope, default=default, group="unix", help=text) for name, kind, default, text in rows
    )


class HostNodes(Device):
    """A type says which nodes there are now; the rest is the same for all."""

    IS_CHECKED_WHEN_ADDED: ClassVar[bool] = False
    MISSING: ClassVar[str] = "Required device not found"
    sys: Path = SYS
    dev: Path = DEV

    @abstractmethod
    def nodes(self) -> Sequence[Path]:
        """The nodes to show, in order, below `dev` of the host. Raises Invalid."""

    @property
    def is_required(self) -> bool:
        """Whether there must be one."""
        return is_true(self.options.get("required"))

    def check_host(self) -> None:
        """Raise Invalid when there must be one and is none."""
        if not self.nodes() and self.is_required:
            raise Invalid("device", self.name, text=self.MISSING)

    def start(self, slot: Slot) -> DeviceStart:
        """Show each."""
        lines = [line for one in self._shown() for line in one.start(slot).lines]
        return DeviceStart(lines=tuple(lines))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Show each inside a running container, all or none."""
        done: list[UnixNode] = []
        try:
            for one in self._shown():
                done.append(one)
                one.plug(slot, guest)
        except BaseException:
            for one in done:
                one.unplug(guest)
                one.stop()
            raise
        return DeviceStart()

    def unplug(self, guest: Guest) -> None:
        """Take away what was shown."""
        for one in self._staged():
            one.unplug(guest)

    def stop(self) -> None:
        """Remove what was made, also of devices that are gone by now."""
        for one in self._staged():
            one.stop()

    def follows(self) -> frozenset[str] | None:
        """The kernel's devices."""
        return frozenset()

    def refresh(self, guest: Guest) -> Refreshed:
        """Show those that there are now and no others; one that fails is logged and not among the nodes."""
        there, before = {node.inside: node for node in self._shown()}, {node.inside: node for node in self._staged()}
        is_changed, nodes = False, set[str]()
        for inside, node in sorted((before | there).items()):
            try:
                if inside in there:
                    is_changed |= node.refresh(guest).is_changed
                else:
                    is_changed = True
                    node.take_away(guest)
                nodes.add(inside.removeprefix(INSIDE))
            except Failure as failure:
                is_changed = True  # how far it has come is not known
                log.warning("%s: device %s does not follow the host's: %s", self.instance.label, self.name, failure)
        return Refreshed(is_changed, frozenset(nodes))

    def _shown(self) -> list[UnixNode]:
        return [self._node(path) for path in self.nodes()]

    def _node(self, path: Path) -> UnixNode:
        options = {name: self.options[name] for name in ("uid", "gid", "mode") if self.options.get(name)}
        inside = f"/{INSIDE}{path.relative_to(self.dev)}"
        # Of a node that has gone the one that was made of it tells.
        made = self.host_side("unix", inside.strip("/"))
        is_block = (path if path.exists() else made).is_block_device()
        kind = UnixBlock if is_block else UnixChar
        return kind(self.name, {**options, "source": str(path), "path": inside}, self.instance)

    def _staged(self) -> list[UnixNode]:
        """Those of which a node was made, told by their names in the directory of host sides."""
        return [self._node(self.dev / one.removeprefix(INSIDE)) for one in self.host_sides("unix")]


def identity(device: Path) -> dict[str, str]:
    """Vendor and product of a device of sysfs, as USB or PCI write them; nothing for what is neither."""
    found = {"vendor_id": ("idVendor", "vendor"), "product_id": ("idProduct", "device")}
    return {
        field: next((value for name in names if (value := sysfs.text(device / name))), "").removeprefix("0x").lower()
        for field, names in found.items()
    }


def matches(device: Mapping[str, Any], options: Options) -> bool:
    """Whether a device, as `identity` or GET /1.0/resources tells it, has the vendor and product asked for."""
    pairs = (("vendorid", "vendor_id"), ("productid", "product_id"))
    return all(not options.get(option) or options[option] == device.get(field) for option, field in pairs)
