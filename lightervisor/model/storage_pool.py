"""Wire structs of storage pool. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct


class StoragePoolPut(Struct, frozen=True, kw_only=True):
    """LXD's StoragePoolPut."""

    config: dict[str, str] = {}
    description: str = ""


class StoragePoolsPost(StoragePoolPut, frozen=True, kw_only=True):
    """LXD's StoragePoolsPost."""

    name: str = ""
    driver: str = ""


class StoragePool(StoragePoolPut, frozen=True, kw_only=True):
    """LXD's StoragePool."""

    name: str = ""
    driver: str = ""
    used_by: list[str] = []
    status: str = ""
    locations: list[str] = []
