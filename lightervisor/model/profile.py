"""Wire structs of profile. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct


class ProfilePut(Struct, frozen=True, kw_only=True):
    """LXD's ProfilePut."""

    config: dict[str, str] = {}
    description: str = ""
    devices: dict[str, dict[str, str]] = {}


class ProfilesPost(ProfilePut, frozen=True, kw_only=True):
    """LXD's ProfilesPost."""

    name: str = ""


class ProfilePost(Struct, frozen=True, kw_only=True):
    """LXD's ProfilePost."""

    name: str = ""


class Profile(ProfilePut, frozen=True, kw_only=True):
    """LXD's Profile."""

    name: str = ""
    used_by: list[str] = []
