"""`lxc profile device`: the verbs of `lxc config device`, for a profile."""

from __future__ import annotations

from lightervisor.cli import config_device
from lightervisor.cli.config_device import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def _owner(session: Session, raw: str) -> Owner:
    return Owner(session, "profiles", raw)


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Add a device to a profile."""
    _ = flags
    config_device.add_to(session, _owner(session, arguments[0]), arguments[1:])


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print one setting of a device."""
    _ = flags
    config_device.get_of(_owner(session, arguments[0]), arguments[1], arguments[2])


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the names of the devices."""
    _ = flags
    config_device.list_of(session, _owner(session, arguments[0]))


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the devices as YAML."""
    _ = flags
    config_device.show_of(session, _owner(session, arguments[0]))


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change settings of a device."""
    _ = flags
    config_device.set_on(_owner(session, arguments[0]), arguments[1], arguments[2:])


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a setting of a device."""
    _ = flags
    config_device.unset_on(_owner(session, arguments[0]), arguments[1], arguments[2])


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove devices from a profile."""
    _ = flags
    config_device.remove_from(session, _owner(session, arguments[0]), arguments[1:])
