"""Who uses a pool or a volume: the disks of instances and profiles. Reads rows and merges; no service is asked."""

from collections.abc import Callable, Mapping

from lightervisor.config.merge import Expanded, expand, root_device
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.db.storage_volumes import VolumeRows, shown, shows

Devices = Mapping[str, dict[str, str]]


class PoolUsers:
    """Answers from the rows of instances, profiles and volumes."""

    def __init__(self, instances: InstanceRows, profiles: ProfileRows, volumes: VolumeRows) -> None:
        self._instances, self._profiles, self._volumes = instances, profiles, volumes

    def used_by(self, pool: str) -> list[str]:
        """URLs of what uses a pool: instances (with their profiles merged in), profiles, then volumes."""

        def names(devices: Devices) -> bool:
            return any(device.get("type") == "disk" and device.get("pool") == pool for device in devices.values())

        kept = [_url(f"storage-pools/{pool}/volumes/custom", row.project, row.name) for row in self._volumes.all(pool)]
        return self._using(names) + kept

    def of_volume(self, pool: str, project: str, name: str) -> list[str]:
        """URLs of the instances and profiles that have a custom volume as a disk."""
        return self._using(lambda devices: any(shows(one, pool, name) for one in devices.values()), project)

    def by_volume(self, pool: str, project: str) -> dict[str, list[str]]:
        """The same of all custom volumes of a pool and project that have any, by their names; reads the rows once."""
        found: dict[str, list[str]] = {}
        for url, devices in self._all_devices(project):
            for name in sorted({one for device in devices.values() if (one := shown(device, pool))}):
                found.setdefault(name, []).append(url)
        return found

    def instances_with(self, pool: str, project: str, name: str) -> list[str]:
        """The names of a project's instances that have a custom volume as a disk."""
        return [
            row.name
            for row, expanded in self._expanded(project)
            if any(shows(one, pool, name) for one in expanded.devices.values())
        ]

    def rooted_in(self, pool: str, project: str | None) -> list[InstanceRow]:
        """The instances, of one project or of all, whose root disk is in a pool."""
        found = ((row, root_device(expanded.devices)) for row, expanded in self._expanded(project))
        return [row for row, root in found if root is not None and root[1].get("pool") == pool]

    def _using(self, names: Callable[[Devices], bool], project: str | None = None) -> list[str]:
        return [url for url, devices in self._all_devices(project) if names(devices)]

    def _all_devices(self, project: str | None) -> list[tuple[str, Devices]]:
        """Instances with all their devices, and profiles with theirs, by their URLs."""
        instances = self._expanded(project)
        found: list[tuple[str, Devices]] = [
            (_url("instances", row.project, row.name), expanded.devices) for row, expanded in instances
        ]
        projects = {project} if project else {row.project for row, _ in instances}
        profiles = [row for row in self._all_profiles(projects) if project in (None, row.project)]
        return found + [(_url("profiles", row.project, row.name), row.devices) for row in profiles]

    def _expanded(self, project: str | None) -> list[tuple[InstanceRow, Expanded]]:
        instances = self._instances.list(project)
        profiles = {(row.project, row.name): row for row in self._all_profiles({row.project for row in instances})}
        return [(row, _merged(row, profiles)) for row in instances]

    def _all_profiles(self, projects: set[str]) -> list[ProfileRow]:
        return [row for project in sorted({"default"} | projects) for row in self._profiles.list(project)]


def _merged(row: InstanceRow, profiles: Mapping[tuple[str, str], ProfileRow]) -> Expanded:
    chosen = (profiles.get((row.project, name)) or profiles.get(("default", name)) for name in row.profiles)
    return expand([one for one in chosen if one is not None], row.config, row.devices)


def _url(kind: str, project: str, name: str) -> str:
    return f"/1.0/{kind}/{name}" + ("" if project == "default" else f"?project={project}")
