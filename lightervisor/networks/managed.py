"""Networks: the managed ones, made and kept by drivers, and the host's interfaces, which are only shown.

A network is a row and what its driver makes of it. A row is "pending" until the network stood once; a daemon that
died before that removes it at the next start. Every other crash is repaired by starting from the row again.
Source: LXD, /1.0/networks.
"""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_interface
from pathlib import Path

from lightervisor.config.merge import without_empty
from lightervisor.config.names import RESERVED_INTERFACES
from lightervisor.db.networks import NetworkRow, NetworkRows
from lightervisor.db.warnings import WarningRows
from lightervisor.devices.ports import BridgePort, Port
from lightervisor.errors import Conflict, Failure, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.kernel import paths
from lightervisor.kernel.netlink import Netlink
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.network import Network, NetworkLease, NetworkPut, NetworksPost, NetworkState
from lightervisor.networks import leases as lease_lists
from lightervisor.networks import state as states
from lightervisor.networks.driver import NetworkDriver, Plan, Subnet, check_keys, network_driver
from lightervisor.networks.keeper import Keeper
from lightervisor.networks.users import NetworkUsers

UNAVAILABLE, RESTRICTED = "Network unavailable", "Network restricted by this host"
"""Types of warnings; the first is LXD's."""


class Networks:
    """The networks of this server. `directory` is $LXD_DIR/networks."""

    def __init__(
        self, rows: NetworkRows, users: NetworkUsers, events: Events, warnings: WarningRows, directory: Path
    ) -> None:
        self._rows, self._users, self._events, self._warnings = rows, users, events, warnings
        self._directory = directory
        self._lock = asyncio.Lock()
        self._keeper = Keeper(self._revive)

    # Reading

    def get(self, name: str) -> Network:
        """One network or host interface. Raises NotFound."""
        users = self._users.used_by()
        if row := self._rows.find(name):
            return _view(row, users)
        with Netlink() as host:
            link = host.link(name)
        if link is None:
            raise NotFound("network", name)
        return states.unmanaged(link, users.get(name, []))

    def state(self, name: str) -> NetworkState:
        """Addresses, counters and kind of any interface. Raises NotFound."""
        row = self._rows.find(name)
        if row is not None:
            name = self._driver(row).interface
        with Netlink() as host:
            link = host.link(name)
            if link is None:
                raise NotFound("network", name, text=f'Network interface "{name}" not found')
            return states.network_state(link, host.addresses(link.index))

    async def leases(self, name: str) -> list[NetworkLease]:
        """The gateway's addresses, reserved addresses of instances, and what DHCP gave out. Raises NotFound."""
        driver = self._driver(self._row(name))
        dynamic = await asyncio.to_thread(driver.leases)
        return lease_lists.merged(self._users.nics(name), dynamic, driver.plan.config)

    def network_type(self, options: Mapping[str, str]) -> str:
        """The type of the network a nic names with `network`; "bridge" without. Raises Invalid as LXD words it."""
        name = options.get("network", "")
        if not name:
            return "bridge"
        row = self._rows.find(name)
        if row is None:
            text = f'Failed to load network "{name}" for project "default": Network not found'
            raise Invalid("network", name, text=text, remedy="lxc network list")
        return row.type

    def port(self, options: Mapping[str, str]) -> Port:
        """Where a nic with these options (`network` or `parent`) is plugged in. Raises Invalid."""
        self.network_type(options)
        name = options.get("network") or options.get("parent", "")
        row = self._rows.find(name)
        return BridgePort(bridge=name) if row is None else self._driver(row).port()

    # Changing

    async def create(self, post: NetworksPost, requestor: EventLifecycleRequestor | None = None) -> None:
        """Create and start a network, whole or not at all. Raises Invalid with LXD's texts, or HostError."""
        kind = network_driver(post.type or "bridge")
        check_name(post.name, is_interface=kind.OWNS_INTERFACE)
        async with self._lock:
            self._check_free(post.name, kind)
            check_keys(kind, post.name, post.config)
            wanted = without_empty(post.config)
            config = await self._filled(kind, post.name, wanted)
            self._check_parent(kind, post.name, config)
            row = NetworkRow(name=post.name, type=kind.kind, description=post.description, config=config)
            await self._rows.add(row)
            driver = kind(self._plan(row.name, config, frozenset(wanted)))
            try:
                warnings = await self._start(driver)
            except BaseException:
                await asyncio.to_thread(driver.delete)
                await self._rows.delete(row.name)
                raise
            await self._rows.set_state(row.name, "created")
            await self._warn(row.name, warnings)
        self._events.happened("network", "created", row.name, "default", requestor)

    async def replace(self, name: str, put: NetworkPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """Replace description and configuration, on the host at once; on failure the old ones stand again."""
        async with self._lock:
            await self._replace(self._managed(name), put)
        self._events.happened("network", "updated", name, "default", requestor)

    async def merge(self, name: str, put: NetworkPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """PATCH: merge configuration keys over what is there."""
        async with self._lock:
            old = self._managed(name)
            merged = NetworkPut(description=put.description or old.description, config={**old.config, **put.config})
            await self._replace(old, merged)
        self._events.happened("network", "updated", name, "default", requestor)

    async def _replace(self, old: NetworkRow, put: NetworkPut) -> None:
        kind = network_driver(old.type)
        check_keys(kind, old.name, put.config)
        kept = {key: value for key, value in old.config.items() if key.startswith("volatile.")}
        wanted = kept | without_empty(put.config)
        config = await self._filled(kind, old.name, wanted, old.config)
        if any(config.get(key) != old.config.get(key) for key in ("parent", "vlan")):
            if kind.OWNS_PARENT:
                self._check_unused(old.name, "Cannot update network parent interface when in use")
            self._check_parent(kind, old.name, config)
        asked = frozenset(key for key, value in wanted.items() if old.config.get(key) != value)
        driver = kind(self._plan(old.name, config, asked))
        await self._rows.replace(old.name, put.description, config)
        try:
            warnings = [] if config == old.config else await self._start(driver, old.config)
        except BaseException:
            await self._rows.replace(old.name, old.description, old.config)
            await self._start(self._driver(old), config)
            raise
        await self._warn(old.name, warnings)

    async def rename(self, name: str, new_name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Rename a network that nobody uses. Raises Invalid, Conflict, NotFound."""
        async with self._lock:
            row = self._row(name)
            check_name(new_name, is_interface=network_driver(row.type).OWNS_INTERFACE)
            self._check_unused(name, "Network is currently in use")
            if self._rows.find(new_name):
                raise Conflict("network", new_name, text=f'Network "{new_name}" already exists')
            self._check_free(new_name, network_driver(row.type))
            driver, plan = self._driver(row), self._plan(new_name, row.config)
            self._keeper.forget(name)
            try:
                await asyncio.to_thread(driver.stop)
                await asyncio.to_thread(driver.rename, plan)
                await self._rows.rename(name, new_name)
                warnings = await self._start(self._driver(self._rows.get(new_name)))
            except BaseException:
                await self._rename_back(row, new_name)
                raise
            await self._warn(name, [])
            await self._warn(new_name, warnings)
        self._events.happened("network", "renamed", new_name, "default", requestor, {"old_name": name})

    async def _rename_back(self, old: NetworkRow, new_name: str) -> None:
        renamed = network_driver(old.type)(self._plan(new_name, old.config))
        self._keeper.forget(new_name)
        await asyncio.to_thread(renamed.stop)
        if not (self._directory / old.name).exists():
            await asyncio.to_thread(renamed.rename, self._plan(old.name, old.config))
        if self._rows.find(new_name):
            await self._rows.rename(new_name, old.name)
        await self._start(self._driver(old))

    async def delete(self, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Remove a network that nobody uses. Raises Invalid with LXD's text, NotFound."""
        async with self._lock:
            row = self._row(name)
            self._check_unused(name, "The network is currently in use")
            self._keeper.forget(name)
            await asyncio.to_thread(self._driver(row).delete)
            await self._rows.delete(name)
            await self._warn(name, [])
        self._events.happened("network", "deleted", name, "default", requestor)

    async def start_all(self) -> list[str]:
        """Bring up every network at daemon start and repair what a crash left; returns the names that failed.

        A network that never stood (the daemon died while creating it) is removed.
        """
        failed: list[str] = []
        async with self._lock:
            await asyncio.to_thread(self._sweep, {row.name for row in self._rows.list()})
            for row in self._rows.list():
                driver = self._driver(row)
                try:
                    if row.state == "pending":
                        await asyncio.to_thread(driver.delete)
                        await self._rows.delete(row.name)
                        continue
                    await self._warn(row.name, await self._start(driver))
                except Failure as error:
                    failed.append(row.name)
                    await self._warn(row.name, [error.message()], UNAVAILABLE)
        return failed

    async def interfaces_came(self, names: Collection[str]) -> None:
        """Interfaces have come to the host: the networks that wait for one of them are started again."""
        for row in self._rows.list():
            driver = self._driver(row)
            if any(driver.waits_for(name) for name in names):
                await self._revive(row.name)

    def _sweep(self, known: set[str]) -> None:
        """Remove what a crash left of a rename; without any network at all the database may be lost."""
        if known and self._directory.is_dir():
            for entry in self._directory.iterdir():
                if entry.name not in known:
                    paths.remove_tree(entry)

    async def stop_all(self) -> None:
        """Take every network off the host: for host shutdown and tests; a daemon restart leaves networks alone."""
        async with self._lock:
            for row in self._rows.list():
                self._keeper.forget(row.name)
                await asyncio.to_thread(self._driver(row).stop)

    # Inside

    async def _start(self, driver: NetworkDriver, old: Mapping[str, str] | None = None) -> list[str]:
        warnings = await asyncio.to_thread(driver.start, old)
        self._keeper.watch(driver.plan.name, await asyncio.to_thread(driver.service))
        return warnings

    async def _revive(self, name: str) -> None:
        async with self._lock:
            if (row := self._rows.find(name)) is None:
                return
            try:
                await self._warn(name, await self._start(self._driver(row)))
            except Failure as error:
                await self._warn(name, [error.message()], UNAVAILABLE)

    def _plan(self, name: str, config: Mapping[str, str], asked: frozenset[str] = frozenset()) -> Plan:
        return Plan(name=name, config=config, directory=self._directory / name, asked=asked)

    def _driver(self, row: NetworkRow) -> NetworkDriver:
        return network_driver(row.type)(self._plan(row.name, row.config))

    async def _filled(
        self, kind: type[NetworkDriver], name: str, config: Mapping[str, str], old: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        taken = self._taken(name)

        def fill() -> dict[str, str]:
            filled = kind.fill(config, taken, old)
            kind.check(name, filled, taken)
            return filled

        return await asyncio.to_thread(fill)

    def _taken(self, name: str) -> Sequence[Subnet]:
        others = [row.config for row in self._rows.list() if row.name != name]
        values = [config.get(key, "") for config in others for key in ("ipv4.address", "ipv6.address")]
        return [ip_interface(value).network for value in values if "/" in value]

    def _check_free(self, name: str, kind: type[NetworkDriver]) -> None:
        if self._rows.find(name):
            raise Invalid("network", name, text="The network already exists")
        if not kind.OWNS_INTERFACE or (self._directory / name).is_dir():  # ours: the database that told so was lost
            return
        with Netlink() as host:
            if host.link(name) is not None:
                text = f'Network interface "{name}" already exists'
                raise Invalid("network", name, text=text, remedy="choose another name, or remove it: ip link delete")

    def _check_parent(self, kind: type[NetworkDriver], name: str, config: Mapping[str, str]) -> None:
        parent, vlan = config.get("parent", ""), config.get("vlan", "")
        for row in self._rows.list() if kind.OWNS_PARENT else ():
            theirs = row.config.get("vlan", "")
            if row.name != name and row.config.get("parent") == parent and (not vlan or not theirs or vlan == theirs):
                text = f'Parent interface "{parent}" in use by another network'
                raise Invalid("network", name, text=text, remedy=f"the network {row.name} is on it")

    def _check_unused(self, name: str, text: str) -> None:
        if users := self._users.used_by().get(name):
            raise Invalid("network", name, text=text, remedy=f"used by {', '.join(users)}")

    def _managed(self, name: str) -> NetworkRow:
        row = self._rows.find(name)
        if row is None:
            with Netlink() as host:
                if host.link(name) is not None:
                    raise Invalid("network", name, text="Only managed networks can be modified")
        return row or self._row(name)

    def _row(self, name: str) -> NetworkRow:
        if (row := self._rows.find(name)) is None:
            raise NotFound("network", name, text="Failed loading network: Network not found")
        return row

    async def _warn(self, name: str, messages: Sequence[str], kind: str = "") -> None:
        """Have this warning stand for a network, or none; by default one of a network that works, but not fully."""
        url = f"/1.0/networks/{name}"
        for one, severity in ((UNAVAILABLE, "high"), (RESTRICTED, "moderate")):
            if messages and one == (kind or RESTRICTED):
                await self._warnings.upsert(one, "; ".join(messages), entity_url=url, severity=severity)
            else:
                await self._warnings.resolve(one, entity_url=url)

    def list(self) -> list[Network]:
        """Managed networks and the host's interfaces, by name; veth ends of instances are left out, as LXD does."""
        users = self._users.used_by()
        managed = {row.name: _view(row, users) for row in self._rows.list()}
        with Netlink() as host:
            found = [link for link in host.links() if not link.name.startswith("veth")]
        shown = {link.name: states.unmanaged(link, users.get(link.name, [])) for link in found} | managed
        return [shown[name] for name in sorted(shown)]


def check_name(name: str, *, is_interface: bool = True) -> None:
    """A name that can also be a directory's, and that of an interface if it is to be one. Raises Invalid.

    The texts are LXD's.
    """
    complaint = ""
    if not name:
        complaint = "No name provided"
    elif not is_interface and (found := next((one for one in "/:" if one in name), "")):
        complaint = f'Cannot contain "{found}"'
    elif len(name) < 2 and is_interface:
        complaint = "Network interface is too short (minimum 2 characters)"
    elif len(name) > 15 and is_interface:
        complaint = "Network interface is too long (maximum 15 characters)"
    elif not re.fullmatch(r"[-_a-zA-Z0-9.]{1,63}", name) or name in (".", "..") or name.startswith("-"):
        complaint = "Network interface contains invalid characters"
    elif name in RESERVED_INTERFACES and is_interface:
        complaint = f'Network interface name "{name}" is reserved'
    if complaint:
        raise Invalid("network name", name, text=complaint)


def _view(row: NetworkRow, users: Mapping[str, Sequence[str]]) -> Network:
    return Network(
        name=row.name,
        type=row.type,
        description=row.description,
        config=row.config,
        managed=True,
        status={"created": "Created"}.get(row.state, "Pending"),
        locations=["none"],
        used_by=list(users.get(row.name, [])),
    )
