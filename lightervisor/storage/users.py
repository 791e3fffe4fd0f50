"""Who uses a pool: the disks of instances and profiles. Reads rows and merges; no service is asked."""

from collections.abc import Mapping

from lightervisor.config.merge import expand
from lightervisor.db.instances import InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows


class PoolUsers:
    """Answers from the rows of instances and profiles."""

    def __init__(self, instances: InstanceRows, profiles: ProfileRows) -> None:
        self._instances, self._profiles = instances, profiles

    def used_by(self, pool: str) -> list[str]:
        """URLs of what uses a pool: instances (with their profiles merged in), then profiles."""
        instances = self._instances.list()
        projects = {"default"} | {instance.project for instance in instances}
        rows = [row for project in sorted(projects) for row in self._profiles.list(project)]
        profiles = {(row.project, row.name): row for row in rows}
        found: list[str] = []
        for one in instances:
            chosen = (profiles.get((one.project, name)) or profiles.get(("default", name)) for name in one.profiles)
            layers: list[ProfileRow] = [row for row in chosen if row is not None]
            if _names(expand(layers, one.config, one.devices).devices, pool):
                found.append(_url("instances", one.project, one.name))
        found += [_url("profiles", row.project, row.name) for row in rows if _names(row.devices, pool)]
        return found


def _names(devices: Mapping[str, Mapping[str, str]], pool: str) -> bool:
    return any(device.get("type") == "disk" and device.get("pool") == pool for device in devices.values())


def _url(kind: str, project: str, name: str) -> str:
    return f"/1.0/{kind}/{name}" + ("" if project == "default" else f"?project={project}")
