"""What lies in a pool and is in no database: looked at, never touched. Source: LXD, lxd recover.

backup.yaml beside each root file system tells of an instance (`instances/descriptions.py`). What it tells is checked
as if it came from a stranger, and against what is there.
"""

import logging
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import NamedTuple

from lightervisor.backups.archive import LARGEST
from lightervisor.config import names
from lightervisor.config.merge import expand
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.instances.descriptions import FILE
from lightervisor.instances.snapshot_names import HIDDEN
from lightervisor.kernel import paths
from lightervisor.kernel.idmap import from_json
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.instance import Instance
from lightervisor.model.storage_volume import StorageVolume, StorageVolumeSnapshot
from lightervisor.storage.driver import StorageDriver, Volume
from lightervisor.storage.volume_rules import HIDDEN as ARRIVING
from lightervisor.storage.volume_rules import check_config, known_config

log = logging.getLogger(__name__)

Places = Container[tuple[str, str]]
"""Projects and names."""


class LostInstance(NamedTuple):
    """An instance whose files are in a pool; `config` tells of those snapshots alone that are there."""

    project: str
    name: str
    config: BackupConfig
    told: Instance

    def profiles(self) -> list[str]:
        """The profiles that it and its snapshots use."""
        used = [*(self.told.profiles or []), *(name for one in self.config.snapshots for name in one.profiles)]
        return list(dict.fromkeys(used))

    def networks(self) -> list[str]:
        """The managed networks that its cards are in, by its own devices and its profiles as they were."""
        devices = expand(self.config.profiles, {}, self.told.devices).devices
        return [one["network"] for one in devices.values() if one.get("type") == "nic" and one.get("network")]


class LostVolume(NamedTuple):
    """A custom volume whose files are in a pool; `config` tells of those snapshots alone that are there."""

    project: str
    name: str
    config: BackupConfig


class Found(NamedTuple):
    """What was found in one pool; `unusable` are sentences."""

    instances: list[LostInstance]
    volumes: list[LostVolume]
    unusable: list[str]


def scan(driver: StorageDriver, instances: Places, volumes: Places) -> Found:
    """All that is in a pool but these. Blocking."""
    found = Found([], [], [])
    for volume in driver.volumes("containers"):
        project, name = _owner(volume.name, last=True)
        if (project, name) in instances:
            continue
        try:
            found.instances.append(_instance(driver, volume, project, name))
        except Failure as failure:
            found.unusable.append(f'Container "{name}" in project "{project}": {failure.message()}')
    for volume in driver.keeper("custom").volumes("custom"):
        project, name = _owner(volume.name, last=False)
        if (project, name) not in volumes:
            found.volumes.append(_volume(driver.keeper("custom"), volume, project, name))
    return found


def _volume(driver: StorageDriver, volume: Volume, project: str, name: str) -> LostVolume:
    """What lies there, with what is told of it. What is told badly is not believed, but the files are somebody's."""
    config = BackupConfig()
    with suppress(FileNotFoundError):
        try:
            text = paths.read(driver.volume_path(volume), FILE, limit=LARGEST)
            document = yaml_documents.mapping(text, "storage volume", FILE, largest=LARGEST)
            told = yaml_documents.convert(document, BackupConfig, "storage volume", FILE)
            config = _checked(told, project, name)
        except Failure as failure:
            log.warning("volume %s of project %s comes without its configuration: %s", name, project, failure.message())
    there = {one.name for one in driver.snapshots(volume) if not one.name.startswith(ARRIVING)}
    kept = {one.name: one for one in config.volume_snapshots if one.name in there}
    snapshots = [kept.get(one) or StorageVolumeSnapshot(name=one) for one in sorted(there)]
    told = config.volume or StorageVolume(name=name, project=project)
    return LostVolume(project, name, BackupConfig(volume=told, volume_snapshots=snapshots, pool=config.pool))


def _checked(config: BackupConfig, project: str, name: str) -> BackupConfig:
    told = config.volume
    if told is None or told.name != name or told.project not in ("", project):
        raise Invalid("storage volume", cause=f"its {FILE} tells of something else")
    for one in (told.config, *(one.config for one in config.volume_snapshots)):
        check_config(project, name, known_config(one))
    return config


def _owner(directory: str, *, last: bool) -> tuple[str, str]:
    """Project and name; neither names of instances nor of projects have an underscore."""
    project, underscore, name = directory.rpartition("_") if last else directory.partition("_")
    return (project, name) if underscore else ("default", directory)


def _instance(driver: StorageDriver, volume: Volume, project: str, name: str) -> LostInstance:
    names.check_instance(name)
    try:
        text = paths.read(driver.volume_path(volume), FILE, limit=LARGEST)
    except FileNotFoundError:
        raise NotFound("backup.yaml", text=f"it has no {FILE}") from None
    except OSError as error:
        raise Invalid("instance", cause=f"its {FILE} cannot be read: {error.strerror}") from error
    config = yaml_documents.convert(
        yaml_documents.mapping(text, "instance", FILE, largest=LARGEST), BackupConfig, "instance", FILE
    )
    told = config.container
    if told is None or told.name != name or told.project not in ("", project):
        raise Invalid("instance", cause=f"its {FILE} tells of something else")
    driver.layout.check_root(driver.volume_path(volume), "instance")
    if any(from_json(one.get("volatile.last_state.idmap", "")) for one in (told.config, *_configs(config))):
        remedy = "have LXD export it (lxc export), and import that"
        raise Invalid("instance", cause="the owners of its files are shifted on disk", remedy=remedy)
    there = {one.name for one in driver.snapshots(volume) if not one.name.startswith(HIDDEN)}
    if extra := sorted(there - {one.name for one in config.snapshots}):
        raise Invalid("instance", cause=f"its {FILE} does not tell of its snapshot {extra[0]!r}")
    kept = [one for one in config.snapshots if one.name in there]
    return LostInstance(
        project,
        name,
        BackupConfig(
            container=told, snapshots=kept, pool=config.pool, profiles=config.profiles, networks=config.networks
        ),
        told,
    )


def _configs(config: BackupConfig) -> Iterator[dict[str, str]]:
    for one in config.snapshots:
        yield one.config
