"""What an instance ends up with: profiles in their order, then its own configuration. Pure functions."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

Config = Mapping[str, str]
Devices = Mapping[str, Mapping[str, str]]


class Layer(Protocol):
    """Anything with a config and devices: a profile."""

    @property
    def config(self) -> Config:
        """Keys and values."""
        ...

    @property
    def devices(self) -> Devices:
        """Devices by name."""
        ...


class Expanded(NamedTuple):
    """The merged configuration and devices."""

    config: dict[str, str]
    devices: dict[str, dict[str, str]]


def expand(profiles: Iterable[Layer], config: Config, devices: Devices) -> Expanded:
    """Merge: later wins; a device is replaced whole, never key by key. Source: LXD, instance profiles."""
    merged_config: dict[str, str] = {}
    merged_devices: dict[str, dict[str, str]] = {}
    for profile in profiles:
        merged_config.update(profile.config)
        merged_devices.update({name: dict(device) for name, device in profile.devices.items()})
    merged_config.update(config)
    merged_devices.update({name: dict(device) for name, device in devices.items()})
    return Expanded(merged_config, merged_devices)


def without_empty(options: Config) -> dict[str, str]:
    """The keys that have a value: setting a key to nothing removes it."""
    return {name: value for name, value in options.items() if value != ""}


def root_device(devices: Devices) -> tuple[str, Mapping[str, str]] | None:
    """Name and options of the device that is the root disk: type disk, path "/", with a pool."""
    return next(iter(root_devices(devices).items()), None)


def root_devices(devices: Devices) -> dict[str, Mapping[str, str]]:
    """Every device that could be the root disk; an instance may have one only."""
    return {
        name: device
        for name, device in devices.items()
        if device.get("type") == "disk" and device.get("path") == "/" and device.get("pool")
    }
