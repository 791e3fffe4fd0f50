"""Who uses a network: the nics of instances and profiles. Reads rows and merges; no service is asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightervisor.config.merge import expand
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows


@dataclass(frozen=True, kw_only=True)
class Nic:
    """One nic of an instance on a network; the addresses are the reserved ones, "" without."""

    instance: str
    hwaddr: str = ""
    ipv4: str = ""
    ipv6: str = ""


class NetworkUsers:
    """Answers from the rows of instances and profiles."""

    def __init__(self, instances: InstanceRows, profiles: ProfileRows) -> None:
        self._instances, self._profiles = instances, profiles

    def used_by(self) -> dict[str, list[str]]:
        """URLs of what uses each network, by network: instances (with their profiles merged in), then profiles."""
        instances, profiles = self._instances.list(), self._all_profiles()
        found: dict[str, list[str]] = {}
        for instance in instances:
            expanded = expand(_layers(instance, profiles), instance.config, instance.devices)
            for network in sorted(_networks(expanded.devices)):
                found.setdefault(network, []).append(_url("instances", instance.project, instance.name))
        for profile in profiles.values():
            for network in sorted(_networks(profile.devices)):
                found.setdefault(network, []).append(_url("profiles", profile.project, profile.name))
        return found

    def nics(self, network: str) -> Iterator[Nic]:
        """Every nic that an instance has on a network."""
        profiles = self._all_profiles()
        for instance in self._instances.list():
            expanded = expand(_layers(instance, profiles), instance.config, instance.devices)
            for name, device in expanded.devices.items():
                if network_of(device) == network:
                    hwaddr = device.get("hwaddr") or expanded.config.get(f"volatile.{name}.hwaddr", "")
                    yield Nic(
                        instance=instance.name,
                        hwaddr=hwaddr,
                        ipv4=_address(device.get("ipv4.address", "")),
                        ipv6=_address(device.get("ipv6.address", "")),
                    )

    def _all_profiles(self) -> dict[tuple[str, str], ProfileRow]:
        projects = {"default"} | {instance.project for instance in self._instances.list()}
        rows = (row for project in sorted(projects) for row in self._profiles.list(project))
        return {(row.project, row.name): row for row in rows}


def network_of(device: Mapping[str, str]) -> str:
    """The network or host interface a device is plugged into, "" if it is no nic."""
    return (device.get("network") or device.get("parent", "")) if device.get("type") == "nic" else ""


def _networks(devices: Mapping[str, Mapping[str, str]]) -> set[str]:
    return {network for device in devices.values() if (network := network_of(device))}


def _layers(instance: InstanceRow, profiles: Mapping[tuple[str, str], ProfileRow]) -> list[ProfileRow]:
    rows = (profiles.get((instance.project, name)) or profiles.get(("default", name)) for name in instance.profiles)
    return [row for row in rows if row is not None]


def _address(value: str) -> str:
    return "" if value == "none" else value


def _url(kind: str, project: str, name: str) -> str:
    return f"/1.0/{kind}/{name}" + ("" if project == "default" else f"?project={project}")
