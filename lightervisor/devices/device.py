"""The contract of a device and the register of device types.

A device type is one file with one class. It gets its options, the facts of its instance and, when it needs one, a
resource (a bridge port, a mounted path) resolved by the instances service: a device never looks up a name.

Life cycle: `validate` looks at the options alone (profiles, create, update). `check_host` is asked once more before a
start or when the device is added: is what it needs on this host? `choose`, `add` and `remove` are for what outlives a
stop.
`start` prepares the host side and returns lines for liblxc; it may be called again after a crash. `stop` undoes
`start`, is idempotent and is called too when `start` may have happened. `plug` and `unplug` do to a running container
what the lines do at a start; `stop` follows `unplug`; `refresh` does either as the host's devices come and go. Plain
blocking functions: services call them on a worker thread.
What is done to all devices of an instance is in `lifecycle`.
"""

import functools
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from lightervisor.config.confinement_keys import INTERCEPT
from lightervisor.config.key import REGISTRY, Key
from lightervisor.config.types import is_true
from lightervisor.drivers import load
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.idmap import IdMap

LONGEST_NAME = 255
Options = Mapping[str, str]
Line = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class InstanceFacts:
    """What a device may know of its instance. `config` is the expanded configuration with the volatile keys, `devices`
    are the options of all its devices.

    `devices_dir` is a directory of this instance for host sides of devices ($LXD_DIR/devices/<name>); `idmap` is the
    id map that it runs with or is being started with, None when it is privileged. What neither starts nor plugs
    a device does not know it. `set_devices` has a running container open device nodes ("allow", a rule of the devices
    cgroup) or no longer ("deny"); it raises HostError.
    """

    name: str
    project: str = "default"
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    devices: Mapping[str, Options] = field(default_factory=dict[str, Options])
    devices_dir: Path = Path()
    idmap: IdMap | None = None
    set_devices: Callable[[Literal["allow", "deny"], str], None] | None = None

    @property
    def privileged(self) -> bool:
        """Whether ids inside are the host's."""
        return self.idmap is None

    @property
    def may_reach_nodes(self) -> bool:
        """Whether it could come to device nodes that nobody gave it, so that only what is allowed may be opened.

        Root that is the host's makes them; what the host mounts for a container may hold them.
        """
        return self.privileged or is_true(self.config.get(f"{INTERCEPT}mount"))

    @property
    def label(self) -> str:
        """The name on the host: plain in the default project, else "project_name"."""
        return self.name if self.project == "default" else f"{self.project}_{self.name}"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The place of a nic among the nics of one start: its number and its name inside; unused by others."""

    index: int = 0
    interface: str = ""


@dataclass(frozen=True, kw_only=True)
class DeviceStart:
    """What a start needs from a device.

    `lines` go into liblxc's configuration in this order; `volatile` are whole keys for the instance's row;
    `after_start` is called with the pid of the container's init once it runs.
    """

    lines: tuple[Line, ...] = ()
    volatile: Mapping[str, str] = field(default_factory=dict[str, str])
    after_start: Callable[[int], None] | None = None


class Refreshed(NamedTuple):
    """Whether something was shown or taken away, and the device nodes concerned that are or were shown, below /dev."""

    is_changed: bool = False
    nodes: frozenset[str] = frozenset()


class Device(ABC):
    """One device of one instance. A type overrides what it needs; only `start` says something for all."""

    kind: ClassVar[str] = ""
    variant: ClassVar[str] = ""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    ORDER: ClassVar[int] = 2  # nics 0, disks 1, the rest 2
    IS_CHECKED_WHEN_ADDED: ClassVar[bool] = True
    """Whether the host must have what it needs when it is added to a stopped instance already, not only to start."""

    def __init__(self, name: str, options: Options, instance: InstanceFacts, resource: object | None = None) -> None:
        self.name, self.options, self.instance, self.resource = name, dict(options), instance, resource

    def __init_subclass__(cls, *, type: str = "", variant: str = "") -> None:
        super().__init_subclass__()
        if not type:
            return
        if (type, variant) in _TYPES:
            raise ValueError(f"device type {type} {variant} is declared twice")
        cls.kind, cls.variant = type, variant
        _TYPES[type, variant] = cls

    @classmethod
    def scope(cls) -> str:
        """The scope of this type's keys in the registry: device.<type> or device.<type>.<variant>."""
        return device_scope(cls.kind, cls.variant)

    @property
    def label(self) -> str:
        """What the reservations of this device are called: unique in its daemon."""
        return f"{self.instance.label}.{self.name}"

    def host_side(self, word: str, path: str) -> Path:
        """A place of this device alone in the instance's directory, named after it and a path inside."""
        # A dot in the device's name would make two of "a" and "b.c", and "a.b" and "c".
        name = f"{word}.{self.name.replace('.', '%2E')}.{path.replace('-', '--').replace('/', '-')}"
        if len(name.encode()) > LONGEST_NAME:
            name = f"{word}.{hashlib.sha256(name.encode()).hexdigest()}"
        return self.instance.devices_dir / name

    def make_directory(self) -> None:
        """Make the instance's directory: its root can walk into it, a user of the host cannot. Raises OSError.

        A guest may leave a setuid program in what is shown there.
        """
        directory, idmap = self.instance.devices_dir, self.instance.idmap
        directory.mkdir(mode=0o710, parents=True, exist_ok=True)
        os.chown(directory, 0, idmap.host_root_gid if idmap else 0)
        directory.chmod(0o710)

    def host_sides(self, word: str) -> list[str]:
        """The paths inside of all that `host_side` has named for this device and that exists, without the first /."""
        start = f"{word}.{self.name.replace('.', '%2E')}."
        try:
            names = sorted(entry.name for entry in self.instance.devices_dir.iterdir() if entry.name.startswith(start))
        except FileNotFoundError:
            return []
        return [re.sub("--|-", lambda found: found[0][1:] or "/", name.removeprefix(start)) for name in names]

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid with LXD's text when the options do not fit together; keys were checked before."""
        return  # most types have nothing to add

    def check_host(self) -> None:  # noqa: B027 (most types need nothing)
        """Raise Invalid or HostError when this host lacks what the device needs."""

    @abstractmethod
    def start(self, slot: Slot) -> DeviceStart:
        """Prepare the host side. Raises HostError or Invalid; then nothing is left behind."""

    def stop(self) -> None:  # noqa: B027 (most types need nothing)
        """Remove the host side, whatever of it exists."""

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Prepare the host side and give the device to a running container; the lines of the answer are not used.

        Raises HostError or Invalid; then nothing is left behind.
        """
        text = "Device cannot be added when instance is running"
        raise Unsupported("device", self.name, text=text, remedy="stop the instance first")

    def unplug(self, guest: Guest) -> None:  # noqa: B027 (most types need nothing)
        """Take from a running container what `stop` cannot take from outside. Raises HostError."""

    def mend(self, guest: Guest) -> None:  # noqa: B027 (most types need nothing)
        """Set again what may have been lost. May be called at any time while the container runs.

        That is after its monitor restarted it, with the same lines, and when the daemon finds it running.
        """

    def follows(self) -> frozenset[str] | None:
        """The host's paths with which this device comes and goes in a running container; None when it stays as it is.

        None of them, for what comes and goes with the kernel's devices.
        """
        return None

    def refresh(self, guest: Guest) -> Refreshed:
        """Show in a running container what has come to the host, and take away what has gone, if it `follows` it.

        May be called at any time. Raises HostError.
        """
        return Refreshed()

    def limit(self, before: Mapping[str, str]) -> None:  # noqa: B027 (most types need nothing)
        """The instance's own limits changed while it runs, from those of this configuration: follow them."""

    def choose(self) -> Mapping[str, str]:
        """Whole volatile keys that a new device gets once and keeps; nothing is done on the host."""
        return {}

    def add(self) -> None:  # noqa: B027 (most types need nothing)
        """The instance got this device, with what it chose, or its options changed while it is stopped."""

    def remove(self) -> None:  # noqa: B027 (most types need nothing)
        """The instance loses this device or is deleted: forget what outlives a stop. Called after `stop`."""

    def update(self, options: Options) -> bool:
        """Apply changed options to a running instance; False when that needs remove and add again."""
        return False


_TYPES: dict[tuple[str, str], type[Device]] = {}
VARIANT_OPTION = {"nic": "nictype", "gpu": "gputype", "infiniband": "nictype"}
DEFAULT_VARIANT = {"gpu": "physical"}


def device_scope(type: str, variant: str = "") -> str:
    """The registry's scope of a device type."""
    return f"device.{type}.{variant}" if variant else f"device.{type}"


@functools.cache
def device_types() -> Mapping[tuple[str, str], type[Device]]:
    """Every device type, found by listing this folder. Keys are (type, variant), variant "" where there is one only."""
    load(str(__package__))
    return _TYPES


def device_class(name: str, options: Options, *, network_type: str = "bridge") -> type[Device]:
    """The class for a device's options; `network_type` is the type of the network a nic names.

    Raises Invalid with LXD's texts.
    """
    kind = options.get("type", "")
    variant = options.get(VARIANT_OPTION.get(kind, ""), "") or DEFAULT_VARIANT.get(kind, "")
    if kind == "nic" and options.get("network"):
        if variant:
            raise _refused(name, 'Cannot use "nictype" property in conjunction with "network" property')
        variant = {"bridge": "bridged"}.get(network_type, network_type)
    found = device_types().get((kind, variant))
    if found is None:
        raise _refused(name, f'Failed loading device "{name}": Unsupported device type', remedy=_known_types(kind))
    return found


def check_device(name: str, options: Options, *, network_type: str = "bridge") -> None:
    """Check a device's options, known by its type alone. Raises Invalid with LXD's texts."""
    found = device_class(name, options, network_type=network_type)
    try:
        _check_options(found, options)
        found.validate(name, options)
    except Invalid as error:
        raise _refused(name, error.sentence(), remedy=error.remedy) from error


def load_device(
    name: str,
    options: Options,
    instance: InstanceFacts,
    resource: object | None = None,
    *,
    network_type: str = "bridge",
) -> Device:
    """The device object. Raises Invalid for an unknown type."""
    return device_class(name, options, network_type=network_type)(name, options, instance, resource)


def _check_options(found: type[Device], options: Options) -> None:
    scope = found.scope()
    for option in sorted(options):
        if option in ("type", VARIANT_OPTION.get(found.kind)) or option.startswith("user."):
            continue
        declared = REGISTRY.lookup(scope, option)
        if declared is None:
            text = f'Invalid device option "{option}"'
            raise Invalid("device option", option, text=text, remedy=REGISTRY.hint(scope, option))
        try:
            declared.check(options[option])
        except Invalid as error:
            text = f'Invalid value for device option "{option}": {error.sentence()}'
            raise Invalid("device option", option, text=text, remedy=error.remedy) from error


def _refused(name: str, cause: str, *, remedy: str = "") -> Invalid:
    text = f'Invalid devices: Device validation failed for "{name}": {cause}'
    return Invalid("device", name, text=text, remedy=remedy)


def _known_types(kind: str) -> str:
    variants = sorted(variant for known, variant in device_types() if known == kind and variant)
    if variants:
        return f"known {VARIANT_OPTION.get(kind, 'type')}: {', '.join(variants)}"
    return f"known types: {', '.join(sorted({known for known, _ in device_types()}))}"
