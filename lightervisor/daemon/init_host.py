"""What `lxd init` knows of the host, what its flags say, and who answers its questions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lightervisor.errors import Unsupported


class Questions(Protocol):
    """Who answers."""

    def text(self, question: str, default: str = "", check: Callable[[str], str] | None = None) -> str:
        """A line of text."""
        ...

    def yes(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        ...

    def password(self, question: str) -> str:
        """A secret."""
        ...

    def say(self, text: str) -> None:
        """Something that is no question."""
        ...


@dataclass(frozen=True, kw_only=True)
class Host:
    """What is there already. `interfaces` maps each interface's name to its type, `keys` are the server's.

    `loop_gib` is what a file that carries a pool gets where nothing is said.
    """

    drivers: Sequence[str]
    pools: Sequence[str] = ()
    networks: Sequence[str] = ()
    interfaces: Mapping[str, str] = field(default_factory=dict[str, str])
    keys: Sequence[str] = ()
    pools_directory: str = ""
    is_on_btrfs: bool = False
    loop_gib: int = 5

    def best_driver(self) -> str:
        """The storage driver to propose. Raises Unsupported where none works."""
        if not self.drivers:
            text = "No storage backends available"
            raise Unsupported("lxd init", text=text, remedy="put LXD_DIR on ext4, xfs or btrfs, Linux 5.19 or later")
        return self.drivers[0]

    def free_bridge(self) -> str:
        """The first of lxdbr0, lxdbr1, … that no interface has."""
        return next(name for n in range(len(self.interfaces) + 1) if (name := f"lxdbr{n}") not in self.interfaces)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The flags of `lxd init --auto`."""

    storage_backend: str = ""
    storage_pool: str = ""
    storage_create_device: str = ""
    storage_create_loop: str = ""
    network_address: str = ""
    network_port: str = ""
    trust_password: str = ""
