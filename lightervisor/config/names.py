"""Rules for the names of objects. Source: LXD's validation, with its texts."""

import re
from typing import NamedTuple

from lightervisor.errors import Invalid

INSTANCE = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

RESERVED_INTERFACES = ("lo", "all", "default")
"""The loopback, and what stands for all interfaces in /proc/sys/net: the kernel refuses these as new names."""


def check_instance(name: str) -> None:
    """A host name label: 1 to 63 letters, digits and dashes. Raises Invalid with LXD's text."""
    complaint = ""
    if not name or len(name) > 63:
        complaint = "Name must be 1-63 characters long"
    elif not re.fullmatch(r"[A-Za-z0-9-]+", name):
        complaint = "Name can only contain alphanumeric and hyphen characters"
    elif name.startswith("-"):
        complaint = 'Name must not start with "-" character'
    elif name[0].isdecimal():
        complaint = "Name must not start with a number"
    elif name.endswith("-"):
        complaint = 'Name must not end with "-" character'
    if complaint:
        raise Invalid("instance name", name, text=f"Invalid instance name: {complaint}")


def check_device(name: str) -> None:
    """A name that is also part of a file's name. Raises Invalid with LXD's texts."""
    refused = f'Invalid devices: Device validation failed for "{name}": Name '
    complaint = ""
    if len(name) > 64:
        complaint = "Invalid devices: The maximum device name length is 64 characters"
    elif not name or len(name) > 63:
        complaint = f"{refused}must be 1-63 characters long"
    elif name.startswith("."):
        complaint = f'{refused}must not start with "." character'
    elif not re.fullmatch(r"[A-Za-z0-9:_.-]+", name):
        complaint = f"{refused}can only contain alphanumeric, hyphen, colon, underscore and full stop characters"
    if complaint:
        raise Invalid("device", name, text=complaint)


def check_profile(name: str) -> None:
    """Raises Invalid for an empty name and for characters that cannot be in a URL's path element."""
    if not name:
        raise Invalid("profile", text="No name provided")
    if "/" in name:
        raise Invalid("profile", name, text="Profile names may not contain slashes")
    if name in (".", "..") or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise Invalid("profile", name, text=f'Invalid profile name "{name}"')


class VolumePlace(NamedTuple):
    """A custom volume."""

    pool: str
    project: str
    name: str


def volume_name(project: str, instance: str) -> str:
    """Directory and liblxc name of an instance: plain in the default project, else "project_name"."""
    return instance if project == "default" else f"{project}_{instance}"
