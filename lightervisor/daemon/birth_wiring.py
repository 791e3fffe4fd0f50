"""The services that bring instances into the world, made of one another."""

from typing import NamedTuple

from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.instances.births import BirthActs, Births
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.copy import Copying
from lightervisor.instances.create import Creation
from lightervisor.instances.image_choice import ImageChoice
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


def together(births: Births, acts: BirthActs, stock: Stock, choice: ImageChoice) -> Born:
    """All of them."""
    snapshots, catalog, boot, volumes = stock
    return Born(
        births=births,
        creation=Creation(births, acts, choice, volumes),
        copying=Copying(births, acts, snapshots, catalog, boot, VolumeCopies(volumes)),
    )
