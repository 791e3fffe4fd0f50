"""The metrics of all running instances. Source: LXD 5.0.2, GET /1.0/metrics.

Reading takes a fraction of a millisecond for each instance and is done on a worker thread, at most once in eight
seconds for those who ask for the same.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from lightervisor.config.names import volume_name
from lightervisor.errors import Failure
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import cgroup, cgroup_figures, fsinfo
from lightervisor.kernel.netlink import NamespaceLinks
from lightervisor.kernel.patience import Lookout
from lightervisor.model.instance import Instance
from lightervisor.model.metrics import Samples, labels
from lightervisor.runtime.containers import Containers

KEEP_S = 8.0
PATIENCE_S = 2.0
FileSystem = tuple[str, str, os.statvfs_result]
_RUNS = ("Running", "Ready", "Frozen")


class Source(NamedTuple):
    """One instance to be read: its init, its labels, and where the file systems of its disks are on the host."""

    pid: int
    container: str
    labels: Mapping[str, str]
    disks: Mapping[str, Path]


class InstanceMetrics:
    """Reads all instances, and keeps what it read for a moment."""

    def __init__(self, catalog: Catalog, containers: Containers, volumes: InstanceVolumes) -> None:
        self._catalog, self._containers, self._volumes = catalog, containers, volumes
        self._kept: dict[str | None, tuple[float, Samples]] = {}
        self._reading, self._file_systems = asyncio.Lock(), Lookout(_file_system, PATIENCE_S)

    async def get(self, project: str | None) -> Samples:
        """The samples of one project's instances, or of all with None; up to eight seconds old."""
        async with self._reading:
            read_at, samples = self._kept.get(project, (-KEEP_S, Samples()))
            if time.monotonic() - read_at >= KEEP_S:
                instances = self._catalog.list(project)
                sources = [source for one in instances if (source := self._source(one)) is not None]
                samples = await asyncio.to_thread(_read, sources, self._file_systems)
                for state in ("Running", "Stopped", "Frozen", "Error"):
                    _count(samples, instances, state)
                self._kept = {key: kept for key, kept in self._kept.items() if time.monotonic() - kept[0] < KEEP_S}
                self._kept[project] = (time.monotonic(), samples)
            return samples

    def _source(self, instance: Instance) -> Source | None:
        container = volume_name(instance.project, instance.name)
        pid = self._containers.init_pid(container)
        if pid is None or instance.status not in _RUNS:
            return None
        told = {"name": instance.name, "project": instance.project, "type": instance.type}
        return Source(pid, container, told, self._disks(instance))

    def _disks(self, instance: Instance) -> dict[str, Path]:
        devices = instance.expanded_devices
        found: dict[str, Path] = {}
        for device in devices.values() if isinstance(devices, dict) else ():
            if device.get("type") != "disk" or "path" not in device:
                continue
            if device["path"] == "/":
                try:
                    # With a quota the file system tells of the volume alone.
                    directory = self._volumes.directory(device.get("pool", ""), instance.project, instance.name)
                    found["/"] = directory / "rootfs"
                except Failure:
                    continue
            elif not device.get("pool") and device.get("source", "").startswith("/"):
                found[device["path"]] = Path(device["source"])
        return found


def _count(samples: Samples, instances: list[Instance], state: str) -> None:
    counted: dict[str, int] = {}
    for one in instances:
        counted[one.project] = counted.get(one.project, 0) + (one.status == state)
    for project, count in counted.items():
        samples.add("lxd_instances", labels({"project": project, "state": state, "type": "container"}), count)


def _read(sources: list[Source], file_systems: Lookout[FileSystem]) -> Samples:
    """Read all of them; one that stops meanwhile is left out, as are disks that do not answer. Blocking."""
    samples, pools = Samples(), dict[Path, FileSystem]()
    shown = file_systems.look(path for source in sources for at, path in source.disks.items() if at != "/")
    for source in sources:
        _processes(samples, source)
        for mountpoint, path in source.disks.items():
            if mountpoint == "/" and path not in pools:
                with suppress(OSError):
                    pools[path] = _file_system(path)
            if (found := (pools if mountpoint == "/" else shown).get(path)) is not None:
                _room(samples, source, mountpoint, found)
        _network(samples, source)
    return samples


def _processes(samples: Samples, source: Source) -> None:
    figures = cgroup_figures.read(cgroup.payload(source.pid, source.container))
    for cpu in figures.processors:
        for mode, spent_ns in (("system", cpu.system_ns), ("user", cpu.user_ns)):
            told = labels({**source.labels, "cpu": cpu.number, "mode": mode})
            samples.add("lxd_cpu_seconds_total", told, spent_ns / 1e9)
    for disk in figures.disks:
        told = labels({**source.labels, "device": disk.name})
        samples.add("lxd_disk_read_bytes_total", told, disk.read_bytes)
        samples.add("lxd_disk_reads_completed_total", told, disk.reads)
        samples.add("lxd_disk_written_bytes_total", told, disk.written_bytes)
        samples.add("lxd_disk_writes_completed_total", told, disk.writes)
    told = labels(source.labels)
    for name, count in figures.memory.items():
        samples.add(f"lxd_memory_{name}_bytes", told, count)
    if figures.processes is not None:
        samples.add("lxd_procs_total", told, figures.processes)


def _file_system(path: Path) -> FileSystem:
    number, found = path.stat().st_dev, os.statvfs(path)
    return fsinfo.type_name(path), fsinfo.device_of(number), found


def _room(samples: Samples, source: Source, mountpoint: str, found: FileSystem) -> None:
    kind, device, space = found
    told = labels(
        {
            "device": "" if mountpoint == "/" else device,  # as LXD: a pool's own device is nobody's to see
            "fstype": kind,
            "mountpoint": mountpoint,
            "name": source.labels["name"],
            "project": source.labels["project"],
        }
    )
    samples.add("lxd_filesystem_avail_bytes", told, space.f_bavail * space.f_frsize)
    samples.add("lxd_filesystem_free_bytes", told, space.f_bfree * space.f_frsize)
    samples.add("lxd_filesystem_size_bytes", told, space.f_blocks * space.f_frsize)


def _network(samples: Samples, source: Source) -> None:
    try:
        with closing(NamespaceLinks(source.pid)) as links:
            found = links.list()
    except (Failure, OSError):
        return
    for link, _ in found:
        told, count = labels({**source.labels, "device": link.name}), link.counters
        for way, (bytes_, dropped, errors, packets) in (
            ("receive", (count.rx_bytes, count.rx_dropped, count.rx_errors, count.rx_packets)),
            ("transmit", (count.tx_bytes, count.tx_dropped, count.tx_errors, count.tx_packets)),
        ):
            samples.add(f"lxd_network_{way}_bytes_total", told, bytes_)
            samples.add(f"lxd_network_{way}_drop_total", told, dropped)
            samples.add(f"lxd_network_{way}_errs_total", told, errors)
            samples.add(f"lxd_network_{way}_packets_total", told, packets)
