"""limits.read, limits.write and limits.max of an instance's disks, as limits of the block devices that hold them.

Several disks on one device share it: as on LXD each kind of limit is the mean of those given. Blocking functions.
"""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.config.merge import Devices, Expanded
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import HostError
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import block_devices
from lightervisor.runtime.spec import Throttle

NAMES = ("limits.read", "limits.write", "limits.max")


def are_given(devices: Devices) -> bool:
    """Whether any disk has a limit."""
    return any(device.get(name) for device in devices.values() for name in NAMES if device.get("type") == "disk")


class DiskLimits:
    """Finds what the limits of an instance's disks mean for the block devices of this host."""

    def __init__(self, volumes: InstanceVolumes) -> None:
        self._volumes = volumes

    def throttles(self, row: InstanceRow, expanded: Expanded) -> tuple[Throttle, ...]:
        """The limits of each block device. Raises HostError when a disk lies on nothing that can be limited."""
        given: dict[str, list[tuple[int, int, int, int]]] = {}
        for name, device in sorted(expanded.devices.items()):
            if device.get("type") != "disk" or not any(device.get(one) for one in NAMES):
                continue
            source = self._source(row, device)
            if source is not None and not source.exists():
                continue
            holding = block_devices.holding(source) if source else []
            if not holding:
                place = source or device.get("source", "")
                text = f'Cannot limit device "{name}": {place} is on no block device of this host'
                remedy = "unset its limits.*, or use a pool on a disk or partition"
                raise HostError("disk limit", name, text=text, remedy=remedy)
            for one in holding:
                given.setdefault(one, []).append(_limits(device))
        return tuple(Throttle(one, *_means(limits)) for one, limits in sorted(given.items()))

    def _source(self, row: InstanceRow, device: Mapping[str, str]) -> Path | None:
        if device.get("path") == "/":
            return self._volumes.directory(device["pool"], row.project, row.name)
        if device.get("pool"):
            return self._volumes.driver(device["pool"]).layout.root
        source = device.get("source", "")
        return Path(source) if source.startswith("/") else None


def _limits(device: Mapping[str, str]) -> tuple[int, int, int, int]:
    both = device.get("limits.max", "")
    read_bytes, read_requests = _parse(both or device.get("limits.read", ""))
    write_bytes, write_requests = _parse(both or device.get("limits.write", ""))
    return read_bytes, write_bytes, read_requests, write_requests


def _parse(value: str) -> tuple[int, int]:
    """Bytes and requests per second; one of them is 0."""
    if value.endswith("iops"):
        return 0, int(value.removesuffix("iops"))
    return (sizes.parse(value), 0) if value else (0, 0)


def _means(limits: list[tuple[int, int, int, int]]) -> list[int]:
    kinds = ([one[kind] for one in limits if one[kind]] for kind in range(4))
    return [sum(values) // len(values) if values else 0 for values in kinds]
