"""The contract of a network type.

A driver is one file in `drivers/`, one class, one name. It gets the network as data and makes the host look like it.
Life cycle: `fill` completes a new configuration (automatic subnets), `check` refuses a bad one; both are pure but for
reading the host. `start` brings everything up and repairs what is missing: it is called at create, at daemon start
and after an update, and calling it twice changes nothing and interrupts nobody. `stop` takes the network off the host,
`delete` its files too; both accept that some or all of it is gone already. All raise Invalid or HostError, with the
host as it was or repairable by `start`. Plain blocking functions: `Networks` calls them on a worker thread.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import ClassVar

from lightervisor.config.key import REGISTRY, Key
from lightervisor.devices.ports import Port
from lightervisor.drivers import load
from lightervisor.errors import Invalid
from lightervisor.model.network import NetworkLease

Subnet = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A network as a driver sees it. `directory` is $LXD_DIR/networks/<name>; it need not exist yet.

    `asked` are the keys that the user set in this request: what was asked for must work, or the request fails;
    what came by default may fail with a warning.
    """

    name: str
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    directory: Path = Path()
    asked: frozenset[str] = frozenset()


class NetworkDriver(ABC):
    """One managed network on this host."""

    kind: ClassVar[str] = ""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    OWNS_INTERFACE: ClassVar[bool] = True  # makes one of the network's name
    OWNS_PARENT: ClassVar[bool] = False  # no other network may be on its `parent`, or on the same VLAN of it

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__()
        if not name:
            return
        if name in _DRIVERS:
            raise ValueError(f"network driver {name} is declared twice")
        cls.kind = name
        _DRIVERS[name] = cls

    @classmethod
    def scope(cls) -> str:
        """The scope of this driver's keys in the registry."""
        return f"network.{cls.kind}"

    @classmethod
    @abstractmethod
    def fill(
        cls, config: Mapping[str, str], taken: Sequence[Subnet], old: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The configuration with "auto" replaced by values, avoiding subnets of the host and those `taken`.

        `old` is the one before; a new network has none, and gets what it gets without being asked. Raises HostError
        when no subnet is free.
        """

    @classmethod
    @abstractmethod
    def check(cls, name: str, config: Mapping[str, str], taken: Sequence[Subnet]) -> None:
        """Raise Invalid when filled values do not fit together, or Unsupported; each was checked alone before."""

    @abstractmethod
    def start(self, old: Mapping[str, str] | None = None) -> list[str]:
        """Make the host have this network; `old` is what was configured before an update.

        Returns what the administrator should be warned of.
        """

    def service(self) -> int | None:
        """A pidfd of the program that serves the started network, for the caller to close; None when none does."""
        return None

    @abstractmethod
    def stop(self) -> None:
        """Take the network off the host; files stay."""

    @abstractmethod
    def delete(self) -> None:
        """Take the network off the host and remove its files."""

    @abstractmethod
    def rename(self, new: Plan) -> None:
        """Move the files of the stopped network to another name; safe when that has happened already."""

    @abstractmethod
    def leases(self) -> list[NetworkLease]:
        """The gateway's own addresses and the dynamic leases."""

    @abstractmethod
    def port(self) -> Port:
        """What a nic needs to be plugged in."""

    def waits_for(self, interface: str) -> bool:
        """Whether the network is to be started again when this interface comes to the host."""
        return False

    @property
    def interface(self) -> str:
        """The host's interface whose state is this network's."""
        return self.plan.name


_DRIVERS: dict[str, type[NetworkDriver]] = {}


@functools.cache
def network_drivers() -> Mapping[str, type[NetworkDriver]]:
    """Every driver by its name, found by listing the folder."""
    load(f"{__package__}.drivers")
    return _DRIVERS


def network_driver(type: str) -> type[NetworkDriver]:
    """The driver of a type. Raises Invalid with LXD's text."""
    found = network_drivers().get(type)
    if found is None:
        known = ", ".join(sorted(network_drivers()))
        raise Invalid("network type", type, text=f'Unrecognised network type "{type}"', remedy=f"known types: {known}")
    return found


def check_keys(driver: type[NetworkDriver], name: str, config: Mapping[str, str]) -> None:
    """Check each key alone. Raises Invalid with LXD's texts."""
    for option in sorted(config):
        declared = REGISTRY.lookup(driver.scope(), option)
        if declared is None:
            raise Invalid("network", name, text=f'Invalid option for network "{name}" option "{option}"')
        try:
            declared.check(config[option])
        except Invalid as error:
            text = f'Invalid value for network "{name}" option "{option}": {error.sentence()}'
            raise Invalid("network", name, text=text, remedy=error.remedy) from error
