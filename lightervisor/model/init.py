"""Wire structs of init. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import field

from lightervisor.model.network import NetworksPost
from lightervisor.model.profile import ProfilesPost
from lightervisor.model.project import ProjectsPost
from lightervisor.model.server import ServerPut
from lightervisor.model.storage_pool import StoragePoolsPost


class InitNetworksProjectPost(NetworksPost, frozen=True, kw_only=True):
    """LXD's InitNetworksProjectPost."""

    project: str = field(default="", name="Project")


class InitLocalPreseed(ServerPut, frozen=True, kw_only=True):
    """LXD's InitLocalPreseed."""

    networks: list[InitNetworksProjectPost] = []
    storage_pools: list[StoragePoolsPost] = []
    profiles: list[ProfilesPost] = []
    projects: list[ProjectsPost] = []
