"""What a disk needs of the custom volume that it shows."""

from collections.abc import Callable

from lightervisor.config.names import VolumePlace
from lightervisor.errors import Conflict
from lightervisor.storage.driver import StorageDriver
from lightervisor.storage.volume_acts import volume_of


class Opener:
    """Opens a volume's root when a disk is mounted."""

    def __init__(
        self, driver: StorageDriver, place: VolumePlace, is_closed: Callable[[], bool], *, unmapped: bool
    ) -> None:
        self._driver, self._place, self._is_closed, self.unmapped = driver, place, is_closed, unmapped

    def __call__(self) -> int:
        """A descriptor: the caller's to close. Raises NotFound, Conflict while the volume is closed, HostError."""
        if self._is_closed():
            cause = "it is being moved, replaced or removed"
            raise Conflict("storage volume", self._place.name, cause=cause, remedy="try again when that has ended")
        return self._driver.open_volume(volume_of(self._place))
