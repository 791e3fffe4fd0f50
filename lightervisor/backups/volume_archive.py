"""A backup of a custom volume that a client has sent. As of instances, nothing is believed before it was checked."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lightervisor.backups import streamed
from lightervisor.backups.archive import KIND, check_directory, names_in
from lightervisor.backups.volume_backups import SNAPSHOTS, VOLUME
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel import copies
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap, from_json
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.volume_rules import check_content, check_name, check_snapshot_name

IDMAP = "volatile.idmap.last"


def idmap_of(config: BackupConfig) -> IdMap | None:
    """The id map by which the owners of a volume's files were shifted. Raises Invalid."""
    return from_json(config.volume.config.get(IDMAP, "")) if config.volume else None


def place(driver: StorageDriver, volume: Volume, config: BackupConfig, staged: Path) -> None:
    """Make a volume and its snapshots of what was unpacked. Blocking.

    Raises Invalid when there are other snapshots than its index tells of, HostError; what was placed until then is the
    caller's to remove.
    """
    snapshots = sorted(one.name for one in config.volume_snapshots)
    for name in ("backup", VOLUME):
        check_directory(staged, name)
    found = names_in(staged, SNAPSHOTS)
    if found != set(snapshots):
        odd = sorted(found ^ set(snapshots))
        raise Invalid(KIND, cause=f"its index and its files disagree about the snapshot {odd[0]!r}")
    for name in snapshots:
        check_directory(staged / SNAPSHOTS, name)
    driver.fill_volume(volume, _moving(staged / VOLUME))
    for name in snapshots:
        driver.fill_snapshot(Snapshot(volume, name), _moving(staged / SNAPSHOTS / name))


def take(driver: StorageDriver, volume: Volume, config: BackupConfig, staged: Path, watch: Watch) -> None:
    """As `place`, of a backup of streams, which the driver can take. Raises Failure when the watch ends it."""
    check_directory(staged, "backup")
    idmap = idmap_of(config)
    maps = {name: idmap for name in (*(one.name for one in config.volume_snapshots), "")}
    streamed.taken(driver, volume, staged, maps, watch, streamed.VOLUME)


def _moving(source: Path) -> Callable[[Path], None]:
    return lambda target: copies.move_tree(source, target / "rootfs")


def check(index: BackupIndex) -> None:
    """Raise Invalid or Unsupported for an index that cannot be imported on any server of ours."""
    if index.type != "custom":
        cause = f"it is not of a custom volume but of type {(index.type or 'container')[:50]!r}"
        raise Invalid(KIND, cause=cause, remedy="lxc import takes backups of instances")
    if index.optimized and index.backend != streamed.BACKEND:
        remedy = "export the volume again without --optimized-storage"
        raise Unsupported(KIND, cause=f"it has the format of {index.backend[:50]!r} storage pools", remedy=remedy)
    config = index.config
    if config is None or config.volume is None:
        raise Invalid(KIND, cause="its index says nothing of the volume")
    check_name(index.name)
    check_content(index.name, config.volume.content_type)
    for name in index.snapshots:
        check_snapshot_name(name)
    _check_snapshots(index.snapshots, [one.name for one in config.volume_snapshots])


def _check_snapshots(listed: Sequence[str], described: Sequence[str]) -> None:
    if len(set(listed)) != len(listed):
        raise Invalid(KIND, cause="its index lists a snapshot twice")
    if sorted(listed) != sorted(described):
        raise Invalid(KIND, cause="its index describes other snapshots than it lists")
