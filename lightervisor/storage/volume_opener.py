"""What a disk needs of the custom volume that it shows."""

from collections.abc import Callable

from lightervisor.config.names import VolumePlace
from lightervisor.storage.driver import StorageDriver
from lightervisor.storage.volume_acts import volume_of


class Opener:
    """Opens a volume's root when a disk is mounted."""

    def __init__(
        self, driver: StorageDriver, place: VolumePlace, check_open: Callable[[], None], *, unmapped: bool
    ) -> None:
        self._driver, self._place, self._check_open, self.unmapped = driver, place, check_open, unmapped

    def __call__(self) -> int:
        """A descriptor: the caller's to close. Raises NotFound, Conflict while the volume is closed, HostError."""
        self._check_open()
        return self._driver.open_volume(volume_of(self._place))
