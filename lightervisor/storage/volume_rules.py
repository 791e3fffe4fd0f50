"""What a custom volume may be: its name, type, configuration, and where it is. Source: LXD; texts of LXD 5.0.2."""

from collections.abc import Mapping

from lightervisor.config.key import REGISTRY
from lightervisor.config.merge import without_empty
from lightervisor.config.names import VolumePlace
from lightervisor.errors import Invalid, Unsupported
from lightervisor.model.storage_volume import StorageVolumePut, StorageVolumesPost
from lightervisor.storage.driver import Volume
from lightervisor.storage.keys_volume import SCOPE

TYPES = ("container", "virtual-machine", "custom", "image")
LONGEST = 255 - len("default_")
HIDDEN = "arriving "
"""How the names begin of snapshots that are to replace others; nobody sees them, and with this blank they are no
user's."""
_OF_DRIVERS = ("block.", "btrfs.", "ceph.", "cephfs.", "lvm.", "zfs.", "volatile.")
"""What other pools and servers note of a volume, and means nothing here."""


def custom_volume(project: str, name: str) -> Volume:
    """Where a custom volume is in its pool."""
    return Volume("custom", f"{project}_{name}")


def check_type(type: str) -> None:
    """Raise Invalid with LXD's text for what is no type of volume."""
    if type and type not in TYPES:
        raise Invalid("volume type", type, text="Invalid storage volume type name")


def check_name(name: str) -> None:
    """Raise Invalid with LXD's texts for what cannot be the name of a volume."""
    if not name:
        raise Invalid("storage volume", text="No name provided")
    if "/" in name:
        raise Invalid("storage volume", name, text="Storage volume names may not contain slashes")
    if any(ord(char) < 32 or ord(char) == 127 for char in name) or len(name.encode()) > LONGEST:
        raise Invalid("storage volume", name, text=f"Invalid storage volume name {name!r}")


def check_config(project: str, name: str, config: Mapping[str, str]) -> None:
    """Check each key alone. Raises Invalid with LXD's texts."""
    volume = f'volume "{project}_{name}"'
    for key in sorted(config):
        try:
            REGISTRY.check(SCOPE, key, config[key])
        except Invalid as error:
            known = REGISTRY.lookup(SCOPE, key) is not None
            text = f'Invalid option for {volume} option "{key}"'
            if known:
                text = f'Invalid value for {volume} option "{key}": {error.sentence()}'
            raise Invalid("storage volume", key, text=text, remedy=error.remedy) from error


def check_content(name: str, content_type: str) -> None:
    """Raise Invalid with LXD's text, Unsupported for volumes of blocks."""
    if content_type not in ("", "filesystem"):
        if content_type != "block":
            raise Invalid("volume", text="Invalid volume content type name")
        raise Unsupported("storage volume", name, cause="volumes of blocks are for virtual machines")


def check_snapshot_name(name: str) -> None:
    """Raise Invalid with LXD's texts for what cannot be the name of a volume's snapshot and of its directory."""
    text = ""
    if not name:
        text = "No name provided"
    elif "/" in name:
        text = 'Storage name cannot contain "/"'
    elif any(character.isspace() for character in name):
        text = "Storage name cannot contain white space"
    elif name in (".", "..") or not name.isprintable() or len(name.encode(errors="surrogateescape")) > LONGEST:
        text = f"Invalid storage volume snapshot name {name!r}"
    if text:
        raise Invalid("snapshot", name, text=text, remedy="use letters, digits, dots, dashes and underscores")


def check_post(post: StorageVolumesPost) -> None:
    """Check what a new volume is to be. Raises Invalid with LXD's texts, Unsupported."""
    check_name(post.name)
    if post.type not in ("", "custom"):
        check_type(post.type)
        raise Invalid("volume", text=f'Currently not allowed to create storage volumes of type "{post.type}"')
    check_content(post.name, post.content_type)


def known_config(told: Mapping[str, str]) -> dict[str, str]:
    """A configuration without what only means something to other storage drivers."""
    return {
        key: value
        for key, value in told.items()
        if not (key.startswith(_OF_DRIVERS) and REGISTRY.lookup(SCOPE, key) is None)
    }


def changed(place: VolumePlace, old: Mapping[str, str], put: StorageVolumePut, *, merge: bool) -> dict[str, str]:
    """The configuration that a change of a volume leads to, with `merge` one of some keys. Raises Invalid."""
    config = without_empty({**old, **put.keys} if merge else put.keys)
    check_config(place.project, place.name, {**put.keys, **config})
    return config
