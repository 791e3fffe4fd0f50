"""Reading instances: rows merged with their profiles and with what the runtime knows."""

from collections.abc import Callable, Iterable

from lightervisor.config.merge import Config, Expanded, expand
from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.errors import Invalid
from lightervisor.instances.views import instance_view, profile_view
from lightervisor.model.instance import Instance
from lightervisor.model.profile import Profile

READY = "volatile.last_state.ready"
Status = Callable[[str, str], str]


def is_ready(row: InstanceRow) -> bool:
    """Whether the guest has said that it is ready, since it was started."""
    return is_true(row.config.get(READY))


class Catalog:
    """The instances as the API shows them; `status(project, name)` is the runtime's cheap answer."""

    def __init__(self, rows: InstanceRows, profiles: ProfileRows, status: Status) -> None:
        self._rows, self._profiles, self._status = rows, profiles, status

    def row(self, project: str, name: str) -> InstanceRow:
        """The stored row. Raises NotFound."""
        return self._rows.get(project, name)

    def profiles_named(self, project: str, names: Iterable[str], *, for_new: bool = False) -> list[ProfileRow]:
        """The profiles in this order, of a new instance or one that is changed.

        Raises Invalid with LXD's text for an unknown one and a duplicate.
        """
        found: list[ProfileRow] = []
        for name in names:
            if any(profile.name == name for profile in found):
                raise Invalid("profile", name, text="Duplicate profile found in request")
            profile = self._profiles.find(project, name)
            if profile is None:
                text = f'Requested profile "{name}" doesn\'t exist' if for_new else "Profile not found"
                raise Invalid("profile", name, text=text, remedy="lxc profile list")
            found.append(profile)
        return found

    def expand(self, row: InstanceRow) -> Expanded:
        """The merged configuration and devices of an instance."""
        return expand(self.known_profiles(row.project, row.profiles), row.config, row.devices)

    def known_profiles(self, project: str, names: Iterable[str]) -> list[ProfileRow]:
        """Those of these profiles that are there, in this order."""
        return [found for name in names if (found := self._profiles.find(project, name)) is not None]

    def status(self, project: str, name: str) -> str:
        """Running, Stopped, Frozen, …: LXD's word for the instance's state now."""
        return self._status(project, name)

    def shown_status(self, row: InstanceRow) -> str:
        """The state as the API shows it: Ready when it runs and has said so."""
        status = self._status(row.project, row.name)
        return "Ready" if status == "Running" and is_ready(row) else status

    def get(self, project: str, name: str) -> Instance:
        """One instance. Raises NotFound."""
        return self.with_profiles(project, name)[0]

    def with_profiles(self, project: str, name: str) -> tuple[Instance, list[Profile]]:
        """One instance and the profiles it uses, in their order, their users not counted. Raises NotFound."""
        row = self._rows.get(project, name)
        layers = self.known_profiles(row.project, row.profiles)
        return self._view(row, expand(layers, row.config, row.devices)), [profile_view(one) for one in layers]

    def names(self, project: str | None) -> list[tuple[str, str]]:
        """Project and name of each instance, of one project or of all with None."""
        return [(row.project, row.name) for row in self._rows.list(project)]

    def _view(self, row: InstanceRow, expanded: Expanded) -> Instance:
        return instance_view(row, expanded, self.shown_status(row))

    def expanded(self) -> Iterable[tuple[InstanceRow, Config]]:
        """Every instance with its merged configuration."""
        for row, merged in self._merged(None):
            yield row, merged.config

    def list(self, project: str | None) -> list[Instance]:
        """All instances of one project, or of all with None, by name."""
        return [self._view(row, merged) for row, merged in self._merged(project)]

    def _merged(self, project: str | None) -> Iterable[tuple[InstanceRow, Expanded]]:
        profiles: dict[tuple[str, str], ProfileRow | None] = {}
        for row in self._rows.list(project):
            layers: list[ProfileRow] = []
            for name in row.profiles:
                key = (row.project, name)
                if key not in profiles:
                    profiles[key] = self._profiles.find(*key)
                if (layer := profiles[key]) is not None:
                    layers.append(layer)
            yield row, expand(layers, row.config, row.devices)


def check_running(catalog: Catalog, project: str, name: str) -> None:
    """Raise Invalid with LXD's texts unless an instance runs and is not frozen."""
    status = catalog.status(project, name)
    if status == "Running":
        return
    text = "Instance is frozen" if status == "Frozen" else "Instance is not running"
    raise Invalid("instance", name, text=text, remedy=f"lxc start {name}")
