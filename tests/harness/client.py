"""Three clients behind one small interface, so that a test of behaviour is written once and runs with each.

`lxc` is ours, `stock-lxc` is Debian's LXD 5.0.2 client unmodified, `pylxd` is LXD's Python library. The interface has
the words that all three can say; a test of one client's own output takes that client's fixture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """What a command in a container gave back."""

    status: int
    stdout: str
    stderr: str


class ClientFailure(Exception):
    """A client's request was refused; the text is what its user reads."""


class Client(ABC):
    """What a test asks of a daemon. Every method raises ClientFailure when the daemon refuses."""

    @abstractmethod
    def launch(
        self, image: str, name: str, *, config: Mapping[str, str] | None = None, ephemeral: bool = False
    ) -> None:
        """Create an instance from a local image's alias and start it."""

    @abstractmethod
    def create(self, image: str, name: str) -> None:
        """Create an instance and leave it stopped."""

    @abstractmethod
    def change_state(self, name: str, action: str, *, force: bool = False) -> None:
        """start, stop, restart, freeze or unfreeze."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a stopped instance."""

    @abstractmethod
    def rename(self, name: str, new: str) -> None:
        """Rename a stopped instance."""

    @abstractmethod
    def copy(self, source: str, name: str) -> None:
        """Make an instance of another one, or of a snapshot ("c1/snap0")."""

    @abstractmethod
    def statuses(self) -> dict[str, str]:
        """The status word of every instance, by name."""

    @abstractmethod
    def run(self, name: str, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Run a command in the instance."""

    @abstractmethod
    def push(self, name: str, path: str, data: bytes) -> None:
        """Write a file in the instance."""

    @abstractmethod
    def pull(self, name: str, path: str) -> bytes:
        """Read a file of the instance."""

    @abstractmethod
    def set_config(self, name: str, key: str, value: str) -> None:
        """Set one key of the instance."""

    @abstractmethod
    def config(self, name: str) -> dict[str, str]:
        """The instance's own configuration."""

    @abstractmethod
    def snapshot(self, name: str, snapshot: str = "") -> None:
        """Take a snapshot; without a name the server finds one."""

    @abstractmethod
    def snapshots(self, name: str) -> list[str]:
        """The names of an instance's snapshots, the oldest first."""

    @abstractmethod
    def restore(self, name: str, snapshot: str) -> None:
        """Make an instance what it was."""

    @abstractmethod
    def rename_snapshot(self, name: str, snapshot: str, new: str) -> None:
        """Rename a snapshot."""

    @abstractmethod
    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Delete a snapshot."""

    @abstractmethod
    def import_image(self, *files: Path, alias: str) -> str:
        """Upload an image, unified or split; its fingerprint."""

    @abstractmethod
    def export_image(self, alias: str, folder: Path) -> list[Path]:
        """Download an image; its files, the metadata first."""

    @abstractmethod
    def images(self) -> dict[str, list[str]]:
        """The aliases of every image, by fingerprint."""

    @abstractmethod
    def delete_image(self, fingerprint: str) -> None:
        """Delete an image."""

    @abstractmethod
    def create_profile(self, name: str, config: Mapping[str, str]) -> None:
        """Create a profile."""

    @abstractmethod
    def profiles(self) -> list[str]:
        """The names of all profiles."""

    @abstractmethod
    def delete_profile(self, name: str) -> None:
        """Delete a profile."""

    @abstractmethod
    def create_network(self, name: str, config: Mapping[str, str]) -> None:
        """Create a bridge."""

    @abstractmethod
    def networks(self) -> list[str]:
        """The names of all networks."""

    @abstractmethod
    def delete_network(self, name: str) -> None:
        """Delete a network."""

    @abstractmethod
    def create_pool(self, name: str, driver: str) -> None:
        """Create a storage pool."""

    @abstractmethod
    def pools(self) -> dict[str, str]:
        """The driver of every storage pool, by name."""

    @abstractmethod
    def delete_pool(self, name: str) -> None:
        """Delete a storage pool."""
