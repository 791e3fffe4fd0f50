"""Is a configuration acceptable? One check, on the final merged state. Texts are LXD's."""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from lightervisor.config import names
from lightervisor.config.instance_keys import SCOPE
from lightervisor.config.key import MACHINE, REGISTRY
from lightervisor.config.merge import Config, Devices, root_devices
from lightervisor.errors import Invalid
from lightervisor.runtime.settings import nvidia, raw_lxc, seccomp

DeviceCheck = Callable[[str, Mapping[str, str]], None]


class StatefulOne(Protocol):
    """An instance or a snapshot, as far as its memory is concerned."""

    @property
    def name(self) -> str:
        """Its own name."""
        ...

    @property
    def stateful(self) -> bool:
        """Whether memory is kept."""
        ...


class Kept(Protocol):
    """A snapshot, as far as it is checked."""

    @property
    def name(self) -> str:
        """Its own name."""
        ...

    @property
    def config(self) -> Config:
        """Its own keys."""
        ...

    @property
    def devices(self) -> Devices:
        """Its own devices."""
        ...


def check_has_no_memory(name: str, kept: Sequence[StatefulOne]) -> None:
    """Raise Invalid when an instance, or one of its snapshots, has memory that what is to be done would lose."""
    for one in kept:
        if one.stateful:
            what, remedy = "it", f"lxc start {name}, with --stateless to forget it"
            if one.name != name:
                what, remedy = f"snapshot {one.name}", f"lxc delete {name}/{one.name}"
            text = f"What {what} has in memory is kept with its files, and would be lost"
            raise Invalid("instance", name, text=text, remedy=remedy)


class InstanceChecks:
    """Checks of instance and profile configuration; `check_device(name, options)` knows the device types."""

    def __init__(self, check_device: DeviceCheck) -> None:
        self._check_device = check_device

    def check_config(self, config: Config, *, profile: bool = False, expanded: bool = False) -> None:
        """Raise Invalid for an unknown key or a bad value.

        Profiles may hold no `volatile.*` and `image.*`, but keys of virtual machines, which their containers ignore.
        """
        for name in sorted(config):
            if REGISTRY.lookup(MACHINE, name) is not None:
                self._check_machine_key(name, config[name], is_inherited=profile or expanded)
                continue
            if profile and name.startswith(("volatile.", "image.")):
                group = name.partition(".")[0].capitalize()
                raise Invalid("profile", text=f"Invalid config: {group} keys can only be set on instances")
            try:
                REGISTRY.check(SCOPE, name, config[name])
                if name == "raw.lxc":
                    raw_lxc.check(config[name])
            except Invalid as error:
                raise Invalid(
                    "config", name, text=f"Invalid config: {error.sentence()}", remedy=error.remedy
                ) from error

    @staticmethod
    def _check_machine_key(name: str, value: str, *, is_inherited: bool) -> None:
        if not is_inherited:
            text = f"Invalid config: Unknown configuration key: {name}"
            raise Invalid("config", name, text=text, remedy="it is a key of virtual machines, this is a container")
        try:
            REGISTRY.check(MACHINE, name, value)
        except Invalid as error:
            raise Invalid("config", name, text=f"Invalid config: {error.sentence()}", remedy=error.remedy) from error

    def check_devices(self, devices: Devices) -> None:
        """Raise Invalid for a device that its type refuses."""
        for name, device in devices.items():
            names.check_device(name)
            self._check_device(name, device)

    def check_snapshots(self, snapshots: Iterable[Kept]) -> None:
        """Raise Invalid for snapshots from elsewhere that no instance can be restored to; their profiles are not asked.

        LXD checks them when it stores them, with the texts for instances.
        """
        for one in snapshots:
            try:
                self.check_config(one.config)
                self.check_devices(one.devices)
            except Invalid as error:
                remedy = "delete it where it comes from, or leave out all snapshots: --instance-only"
                raise Invalid(
                    "snapshot", one.name, text=f"Snapshot {one.name}: {error.sentence()}", remedy=remedy
                ) from error

    def check_profile(self, config: Config, devices: Devices) -> None:
        """Check a profile's own configuration and devices; LXD's texts about them say no "Invalid config"."""
        try:
            self.check_config(config, profile=True)
            seccomp.check(config)
            nvidia.check_privileges(config)
            self.check_devices(devices)
        except Invalid as error:
            text = error.sentence().removeprefix("Invalid config: ").removeprefix("Invalid devices: ")
            raise Invalid("profile", text=text, remedy=error.remedy) from error

    def check_expanded(self, config: Config, devices: Devices) -> None:
        """Check what an instance ends up with: keys that exclude each other, devices, and a root disk."""
        self.check_config(config, expanded=True)
        seccomp.check(config)
        nvidia.check(config)
        self.check_devices(devices)
        self._check_interfaces(devices)
        self._check_paths(devices)
        self._check_root(devices)

    @staticmethod
    def _check_interfaces(devices: Devices) -> None:
        taken: dict[str, str] = {}
        for name in sorted(devices):
            interface = devices[name].get("name", "") if devices[name].get("type") == "nic" else ""
            if interface and taken.setdefault(interface, name) != name:
                text = f'Invalid value for device option "name": Duplicate NIC name detected "{interface}"'
                text = f'Invalid expanded devices: Device validation failed for "{name}": {text}'
                raise Invalid("device", name, text=text, remedy=f"the device {taken[interface]} has it")

    @staticmethod
    def _check_paths(devices: Devices) -> None:
        taken: dict[str, str] = {}
        for name in sorted(devices):
            path = devices[name].get("path", "") if devices[name].get("type") == "disk" else ""
            place = posixpath.normpath("/" + path.lstrip("/"))
            if not path or place == "/":  # about several root disks _check_root has words of its own
                continue
            if taken.setdefault(place, name) != name:
                text = f'More than one disk device uses the same path "{path}"'
                text = f'Invalid devices: Device validation failed for "{taken[place]}": {text}'
                raise Invalid("device", taken[place], text=text, remedy=f"the other one is {name}")

    @staticmethod
    def _check_root(devices: Devices) -> None:
        complaint = "Invalid expanded devices: Failed detecting root disk device"
        found = root_devices(devices)
        if not found:
            raise Invalid(
                "instance",
                text=f"{complaint}: No root device could be found",
                remedy="lxc profile device add default root disk path=/ pool=default",
            )
        if len(found) > 1:
            text = f"{complaint}: More than one root device found"
            raise Invalid("instance", text=text, remedy=f"these are: {', '.join(sorted(found))}")
