"""Devices of the host that come and go while instances run: those that follow them are shown and taken away.

The kernel's messages and the watched paths say only when to look; what is shown is what a look finds. So a message
that was lost, or told while no daemon ran, costs nothing but its time. Source: LXD, device types usb, unix-hotplug,
unix-char and unix-block with required=false. CPUs that come and go are shared out again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRows
from lightervisor.errors import Failure, NotFound
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.followed import Place
from lightervisor.kernel import uevents
from lightervisor.kernel.guests import Guest, guest_of
from lightervisor.kernel.netlink import Netlink
from lightervisor.kernel.path_watch import PathWatch
from lightervisor.kernel.uevents import Listener, Uevent
from lightervisor.operations.locks import Locks, instance_lock
from lightervisor.runtime.containers import Containers

COMES, COMES_AND_GOES = ("add", "move"), ("add", "remove", "move")
CPU_CHANGES = ("online", "offline", "add", "remove")
Came = Callable[[Collection[str]], Coroutine[Any, Any, None]]
log = logging.getLogger(__name__)


class Hotplug:
    """Looks again at an instance's devices when something they follow has changed.

    `interfaces_came` is called with the names of network interfaces that have come to the host.
    """

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        devices: InstanceDevices,
        containers: Containers,
        locks: Locks,
        interfaces_came: Came,
    ) -> None:
        self._rows, self._catalog, self._devices = rows, catalog, devices
        self._containers, self._locks = containers, locks
        self._due: dict[Place, list[Uevent]] = {}
        self._works: dict[Place, asyncio.Task[None]] = {}
        self._nodes: dict[Place, frozenset[str]] = {}
        self._interfaces_came, self._came = interfaces_came, set[str]()
        self._telling: asyncio.Task[None] | None = None
        self._sharing: asyncio.Task[None] | None = None
        self._has_other_cpus = False

    async def run(self) -> None:
        """For ever: follow the host's devices."""
        with ExitStack() as opened:
            try:
                opened.callback((watch := PathWatch()).close)
                opened.callback((listener := Listener()).close)
            except OSError as error:
                log.warning("devices that come and go are not followed: %s", error)
                return
            await self._run(watch, listener)

    async def _run(self, watch: PathWatch, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        self._devices.followed.on_change = lambda: self._follow(watch)
        try:
            loop.add_reader(listener.fileno(), _logged(lambda: self._told(listener.read())))
            loop.add_reader(watch.fileno(), _logged(lambda: self._changed(watch.read())))
            self._follow(watch)
            await loop.create_future()
        finally:
            self._devices.followed.on_change = None
            loop.remove_reader(listener.fileno())
            loop.remove_reader(watch.fileno())
            for work in [*self._works.values(), self._telling, self._sharing]:
                if work is not None:
                    work.cancel()

    def _follow(self, watch: PathWatch) -> None:
        """Other instances follow something by now, or other paths: look at those once."""
        followed = self._devices.followed
        try:
            watch.follow(path for paths in followed.paths.values() for path in paths)
        except OSError as error:
            log.warning("devices that come and go are not all seen: inotify: %s", error.strerror)
        self._nodes = {place: nodes for place, nodes in self._nodes.items() if place in followed.kernels}
        for place in followed.take_new():
            self._look(place)

    def _told(self, events: Sequence[Uevent] | None) -> None:
        """Look where the devices of these messages may be wanted; everywhere when some were lost."""
        if events is None:
            with Netlink() as host:
                self._came |= {link.name for link in host.links()}
        else:
            self._came |= {one.interface for one in events if one.interface and one.action in COMES}
        if events is None or any(one.is_of_cpu and one.action in CPU_CHANGES for one in events):
            self._has_other_cpus = True
            if self._sharing is None:
                self._sharing = asyncio.create_task(self._share_cpus(), name="CPUs that came and went")
        if self._came and self._telling is None:
            self._telling = asyncio.create_task(self._tell_networks(), name="networks whose interfaces came")
        for place in self._devices.followed.kernels:
            shown = self._nodes.get(place, frozenset())
            wanted = [one for one in events or () if one.node and (one.action in COMES_AND_GOES or one.node in shown)]
            if wanted or events is None:
                self._look(place, wanted)

    async def _tell_networks(self) -> None:
        try:
            while self._came:
                names, self._came = self._came, set[str]()
                await self._interfaces_came(names)
        except (Failure, OSError) as failure:
            log.warning("networks do not follow the host's interfaces: %s", failure)
        finally:
            self._telling = None

    async def _share_cpus(self) -> None:
        try:
            while self._has_other_cpus:
                self._has_other_cpus = False
                await self._containers.host_has_other_cpus()
        finally:
            self._sharing = None

    def _changed(self, paths: Iterable[str]) -> None:
        changed = set(paths)
        for place, followed in self._devices.followed.paths.items():
            if changed & followed:
                self._look(place)

    def _look(self, place: Place, events: Sequence[Uevent] = ()) -> None:
        """Look at an instance's devices soon, in a task of its own: it waits for whatever else is done to it."""
        self._due.setdefault(place, []).extend(events)
        if place not in self._works:
            work = asyncio.create_task(self._work(place), name=f"devices of {place[1]}")
            self._works[place] = work

    async def _work(self, place: Place) -> None:
        try:
            while place in self._due:
                async with self._locks.hold([instance_lock(*place)]):
                    await self._try(place, self._due.pop(place))
        finally:
            del self._works[place]

    async def _try(self, place: Place, events: Sequence[Uevent]) -> None:
        try:
            await self._refresh(place, events)
        except NotFound:
            log.debug("instance %s has gone", place[1])
        except (Failure, OSError) as failure:
            log.warning("instance %s: its devices do not follow the host's: %s", place[1], failure)

    async def _refresh(self, place: Place, events: Sequence[Uevent]) -> None:
        row, container = self._rows.get(*place), volume_name(*place)
        guest = guest_of(self._containers.init_pid(container))
        if guest is None:
            return
        expanded = self._catalog.expand(row)
        is_first = self._containers.note_change(container)  # its monitor knows the devices of its start
        refreshed = await self._devices.refresh(row, expanded, guest)
        self._nodes[place] = refreshed.nodes
        if is_first and not refreshed.is_changed:
            self._containers.forget_change(container)
        await asyncio.to_thread(_tell, guest, [one for one in events if one.node in refreshed.nodes])


def _tell(guest: Guest, events: Sequence[Uevent]) -> None:
    """Tell a guest what the kernel said of its devices; one that is privileged has heard it."""
    if guest.idmap is None:
        return
    for event in events:
        try:
            uevents.send(guest, event)
        except Failure as failure:
            log.debug("%s", failure.message())


def _logged(work: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        try:
            work()
        except OSError as error:
            log.warning("devices that come and go: %s", error)

    return call
