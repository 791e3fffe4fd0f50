"""Wire structs of /internal/recover. Source: LXD 5.0.2, what `lxd recover` sends and gets."""

from msgspec import Struct, field

from lightervisor.model.storage_pool import StoragePoolsPost


class RecoverPost(Struct, frozen=True, kw_only=True):
    """Body of both requests: the pools to look into. `restores` (ours) makes missing profiles and networks again."""

    pools: list[StoragePoolsPost] = field(name="Pools", default_factory=list[StoragePoolsPost])
    restores: bool = False


class UnknownVolume(Struct, frozen=True, kw_only=True):
    """Something on a pool that the database does not know; `type` is container or volume."""

    name: str
    type: str
    snapshot_count: int = field(name="snapshotCount", default=0)
    project: str = "default"
    pool: str


class RecoverFound(Struct, frozen=True, kw_only=True):
    """What can be recovered, what is missing for it, and (ours) what cannot be recovered, with the reason."""

    unknown_volumes: list[UnknownVolume] = field(name="UnknownVolumes", default_factory=list[UnknownVolume])
    dependency_errors: list[str] = field(name="DependencyErrors", default_factory=list[str])
    unusable: list[str] = field(name="Unusable", default_factory=list[str])
