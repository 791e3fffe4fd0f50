"""Which running instances have devices that come and go with the host's: what `hotplug` is to watch for them."""

from collections.abc import Callable, Iterable

from lightervisor.devices.device import Device

Place = tuple[str, str]
"""Project and name of an instance."""


class Followed:
    """What is followed, by instance. `on_change` is called when that has changed, once somebody watches."""

    def __init__(self) -> None:
        self.paths: dict[Place, frozenset[str]] = {}
        self.kernels: set[Place] = set()
        self.on_change: Callable[[], None] | None = None
        self._new: set[Place] = set()

    def put(self, place: Place, devices: Iterable[Device] = ()) -> None:
        """A running instance has these devices now; one that has none of this kind, or has ended, is forgotten."""
        follows = [found for device in devices if (found := device.follows()) is not None]
        known = (self.paths.get(place), place in self.kernels)
        self.paths.pop(place, None)
        self.kernels.discard(place)
        self._new.discard(place)
        if paths := frozenset[str]().union(*follows):
            self.paths[place] = paths
        if any(not found for found in follows):
            self.kernels.add(place)
        if follows:
            self._new.add(place)
        if self.on_change is not None and (follows or known != (None, False)):
            self.on_change()

    def take_new(self) -> set[Place]:
        """The instances whose devices may have changed on the host before anybody watched them; each is told once."""
        found, self._new = self._new, set()
        return found
