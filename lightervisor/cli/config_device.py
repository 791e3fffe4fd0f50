"""`lxc config device`: the devices of an instance. `lxc profile device` shares the verbs through `Owner`."""

from __future__ import annotations

from lightervisor.cli import config_values, formats, pairs
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_PROFILE_GET = "Device from profile(s) cannot be retrieved for individual instance"
_PROFILE_CHANGE = (
    "Device from profile(s) cannot be modified for individual instance. Override device or modify profile instead"
)
_PROFILE_REMOVE = (
    "Device from profile(s) cannot be removed from individual instance. Override device or modify profile instead"
)
_NO_VALUE = 'No value found in "{}"'


class Owner:
    """The instance or profile (`kind`) whose devices are changed: read, then written back whole."""

    def __init__(self, session: Session, kind: str, raw: str) -> None:
        self.server, self.name = session.resolve(raw)
        if not self.name:
            raise CommandError("Missing name")
        self.kind, self._session = kind, session
        self._object, self._etag = self.server.fetch(url(kind, self.name))
        self.devices: dict[str, dict[str, str]] = dict(as_map(self._object.get("devices")))
        self.inherited: dict[str, dict[str, str]] = dict(as_map(self._object.get("expanded_devices")))

    server: Server

    def own(self, device: str, complaint: str) -> dict[str, str]:
        """A device of its own; `complaint` is said about one that comes from a profile."""
        if device in self.devices:
            return self.devices[device]
        raise CommandError(complaint if device in self.inherited else "Device doesn't exist")

    def save(self) -> None:
        """Write the devices back."""
        if self.kind == "instances":
            fields: dict[str, Any] = config_values.writable(self._object)
        else:
            fields = {field: self._object.get(field) for field in ("config", "description")}
        body = {**fields, "devices": self.devices}
        self._session.run(self.server, self.server.put(url(self.kind, self.name), body, self._etag))


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Add a device to an instance."""
    _ = flags
    add_to(session, Owner(session, "instances", arguments[0]), arguments[1:])


def add_to(session: Session, owner: Owner, arguments: Sequence[str]) -> None:
    """Add a device: name, type, settings."""
    device, kind, *settings = arguments
    if device in owner.devices:
        raise CommandError("The device already exists")
    owner.devices[device] = {**pairs.parse(settings, _NO_VALUE), "type": kind}
    owner.save()
    session.say(f"Device {device} added to {owner.name}")


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print one setting of a device."""
    _ = flags
    get_of(Owner(session, "instances", arguments[0]), arguments[1], arguments[2])


def get_of(owner: Owner, device: str, key: str) -> None:
    """Print one setting of an owner's device; an unset one is an empty line."""
    print(owner.own(device, _PROFILE_GET).get(key, ""))


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the names of the devices."""
    _ = flags
    list_of(session, Owner(session, "instances", arguments[0]))


def list_of(session: Session, owner: Owner) -> None:
    """Print the names of an owner's devices."""
    session.write("\n".join(sorted(owner.devices)) + "\n")


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the devices as YAML."""
    _ = flags
    show_of(session, Owner(session, "instances", arguments[0]))


def show_of(session: Session, owner: Owner) -> None:
    """Print an owner's devices as YAML."""
    session.write(formats.yaml(owner.devices, is_map=True))


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change settings of a device."""
    _ = flags
    set_on(Owner(session, "instances", arguments[0]), arguments[1], arguments[2:])


def set_on(owner: Owner, device: str, settings: Sequence[str]) -> None:
    """Change settings of an owner's device."""
    owner.own(device, _PROFILE_CHANGE).update(pairs.parse_old_or_new(settings))
    owner.save()


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a setting of a device."""
    _ = flags
    unset_on(Owner(session, "instances", arguments[0]), arguments[1], arguments[2])


def unset_on(owner: Owner, device: str, key: str) -> None:
    """Remove a setting of an owner's device: an empty value says so, and lets the server refuse an unknown key."""
    owner.own(device, _PROFILE_CHANGE)[key] = ""
    owner.save()


def override(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy a profile's device to the instance and change it there."""
    _ = flags
    owner = Owner(session, "instances", arguments[0])
    device = arguments[1]
    if device in owner.devices:
        raise CommandError("The device already exists")
    if device not in owner.inherited:
        raise CommandError("The profile device doesn't exist")
    owner.devices[device] = {**owner.inherited[device], **pairs.parse(arguments[2:], _NO_VALUE)}
    owner.save()
    session.say(f"Device {device} overridden for {owner.name}")


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove devices from an instance."""
    _ = flags
    remove_from(session, Owner(session, "instances", arguments[0]), arguments[1:])


def remove_from(session: Session, owner: Owner, devices: Sequence[str]) -> None:
    """Remove devices from an owner."""
    for device in devices:
        owner.own(device, _PROFILE_REMOVE)
        del owner.devices[device]
    owner.save()
    session.say(f"Device {', '.join(devices)} removed from {owner.name}")
