"""What makes cloud-init run again in an instance: another identity. Source: LXD; compared with LXD 5.0.2."""

import uuid

from lightervisor.config.merge import Devices, Expanded

IDENTITY = "volatile.cloud-init.instance-id"
_KEYS = tuple(
    f"{family}.{data}" for family in ("cloud-init", "user") for data in ("user-data", "vendor-data", "network-config")
)


def new_identity() -> str:
    """An identity that cloud-init has not seen yet."""
    return str(uuid.uuid4())


def is_to_run_again(before: Expanded, after: Expanded) -> bool:
    """Whether a change is one of what cloud-init sets up: its data, or the names of the network cards."""
    is_changed = any(before.config.get(key, "") != after.config.get(key, "") for key in _KEYS)
    return is_changed or _cards(before.devices) != _cards(after.devices)


def _cards(devices: Devices) -> set[str]:
    names = {device.get("name", "") for device in devices.values() if device.get("type") == "nic"}
    return names - {""}
