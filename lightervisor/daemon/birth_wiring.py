"""The services that bring instances into the world, made of one another."""

from typing import NamedTuple

from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.images.downloads import Downloads
from lightervisor.images.store import Images
from lightervisor.instances.births import BirthActs, Births
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.copy import Copying
from lightervisor.instances.create import Creation
from lightervisor.instances.volume_copies import VolumeCopies
from lightervisor.instances.volumes import InstanceVolumes


class Born(NamedTuple):
    """What makes instances."""

    births: Births
    creation: Creation
    copying: Copying


class Stock(NamedTuple):
    """What they are made of."""

    snapshots: SnapshotRows
    catalog: Catalog
    boot: Boot
    volumes: InstanceVolumes


def together(births: Births, acts: BirthActs, stock: Stock, images: Images, downloads: Downloads) -> Born:
    """All of them."""
    snapshots, catalog, boot, volumes = stock
    return Born(
        births=births,
        creation=Creation(births, acts, images, downloads, volumes),
        copying=Copying(births, acts, snapshots, catalog, boot, VolumeCopies(volumes)),
    )
