"""The services that handlers call, as wiring hands them over.

What another part provides is named here by what the handlers need of it (a Protocol), so that a test can give
a small real one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aiohttp import web

from lightervisor.auth.trust import Trust
from lightervisor.backups.backups import Backups
from lightervisor.backups.recover import Recovery
from lightervisor.backups.restore import Restoring
from lightervisor.backups.volume_backups import VolumeBackups
from lightervisor.backups.volume_restore import VolumeRestoring
from lightervisor.errors import Unsupported
from lightervisor.events.stream import Events
from lightervisor.images.downloads import Downloads
from lightervisor.images.outward import Outward
from lightervisor.images.store import Images
from lightervisor.images.upkeep import Upkeep
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.console import Consoles
from lightervisor.instances.copy import Copying
from lightervisor.instances.create import Creation
from lightervisor.instances.delete import Removal
from lightervisor.instances.exec import Execution
from lightervisor.instances.files import Files
from lightervisor.instances.frozen_while import FrozenWhile
from lightervisor.instances.logs import Logs
from lightervisor.instances.metadata import Metadata
from lightervisor.instances.metrics import InstanceMetrics
from lightervisor.instances.moving import Moving
from lightervisor.instances.power import Power
from lightervisor.instances.publish import Publication
from lightervisor.instances.rebuild import Rebuilding
from lightervisor.instances.sftp import Sftp
from lightervisor.instances.snapshot_restore import SnapshotRestoring
from lightervisor.instances.snapshot_take import SnapshotTaking
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.state import States
from lightervisor.instances.update import Update
from lightervisor.migration.source import Sending
from lightervisor.migration.target import Receiving
from lightervisor.migration.volume_source import VolumeSending
from lightervisor.migration.volume_target import VolumeReceiving
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.resources import Resources
from lightervisor.model.server import ServerEnvironment
from lightervisor.model.warning import Warning
from lightervisor.networks.managed import Networks
from lightervisor.operations.operations import Operations
from lightervisor.profiles.profiles import Profiles
from lightervisor.storage.pools import Pools
from lightervisor.storage.volume_copying import VolumeCopying
from lightervisor.storage.volume_moving import VolumeMoving
from lightervisor.storage.volume_snapshots import VolumeSnapshots
from lightervisor.storage.volumes import Volumes

Part = TypeVar("Part")


class ServerConfig(Protocol):
    """The server's own configuration."""

    def all(self) -> dict[str, str]:
        """Every key that is set, secrets hidden."""
        ...

    def shown(self) -> dict[str, str | bool]:
        """As `all`, as clients see it: a secret is the boolean true."""
        ...

    async def replace(self, config: Mapping[str, Any], requestor: EventLifecycleRequestor | None) -> None:
        """Set exactly these keys. Raises Invalid for an unknown key or a bad value."""
        ...

    async def merge(self, config: Mapping[str, Any], requestor: EventLifecycleRequestor | None) -> None:
        """Set these keys and leave the others; an empty value unsets. Raises Invalid."""
        ...


class Warnings(Protocol):
    """What the administrator should know."""

    def list(self) -> list[Warning]:
        """All warnings."""
        ...

    def get(self, identity: str) -> Warning:
        """One warning. Raises NotFound."""
        ...

    async def set_status(self, identity: str, status: str) -> None:
        """Acknowledge a warning or make it new again. Raises NotFound."""
        ...

    async def delete(self, identity: str) -> None:
        """Remove a warning. Raises NotFound."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """One of each; what is None is not offered yet."""

    operations: Operations
    events: Events
    trust: Trust
    catalog: Catalog
    creation: Creation
    copying: Copying
    moving: Moving
    power: Power
    frozen_while: FrozenWhile
    removal: Removal
    rebuilding: Rebuilding
    update: Update
    states: States
    metrics: InstanceMetrics
    snapshots: Snapshots
    snapshot_taking: SnapshotTaking
    snapshot_restoring: SnapshotRestoring
    sending: Sending
    receiving: Receiving
    exec: Execution
    images: Images
    downloads: Downloads
    images_out: Outward
    publication: Publication
    upkeep: Upkeep
    profiles: Profiles
    pools: Pools
    volumes: Volumes
    volume_snapshots: VolumeSnapshots
    volume_copying: VolumeCopying
    volume_moving: VolumeMoving
    networks: Networks
    environment: Callable[[], ServerEnvironment]
    server_config: ServerConfig
    warnings: Warnings
    resources: Callable[[], Resources]
    shut_down: Callable[[bool], None]
    files: Files | None = None
    sftp: Sftp | None = None
    consoles: Consoles | None = None
    logs: Logs | None = None
    metadata: Metadata | None = None
    backups: Backups | None = None
    restoring: Restoring | None = None
    recovery: Recovery | None = None
    volume_backups: VolumeBackups | None = None
    volume_restoring: VolumeRestoring | None = None
    volume_sending: VolumeSending | None = None
    volume_receiving: VolumeReceiving | None = None


SERVICES = web.AppKey("services", Services)


def services(request: web.Request) -> Services:
    """The services of the application a request came to."""
    return request.app[SERVICES]


def offered(part: Part | None, what: str) -> Part:
    """A part of the services. Raises Unsupported when this daemon has none."""
    if part is None:
        raise Unsupported(what, cause="this server does not offer it yet")
    return part
