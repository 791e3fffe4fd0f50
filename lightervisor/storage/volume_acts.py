"""What every change of a custom volume has around it: locks, those who show it, its description, its events.

Each pool tells by itself what it holds: beside a volume's root is a backup.yaml with its configuration and that of its
snapshots, as LXD writes it into backups, for `lxd recover`.
"""

import asyncio
import logging
import os
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import VolumeRow, VolumeRows
from lightervisor.db.volume_snapshots import VolumeSnapshotRow, VolumeSnapshotRows
from lightervisor.errors import Conflict, Failure, HostError, Invalid
from lightervisor.events.stream import Events
from lightervisor.kernel import files
from lightervisor.kernel.threads import in_thread
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import StorageVolume, StorageVolumeSnapshot
from lightervisor.operations.locks import instance_lock, volume_lock
from lightervisor.operations.operations import Operations, Run, Work
from lightervisor.operations.readers import Departures
from lightervisor.storage.driver import Snapshot, Still, StorageDriver, Volume
from lightervisor.storage.layout import DESCRIPTION
from lightervisor.storage.pools import Pools
from lightervisor.storage.users import PoolUsers
from lightervisor.storage.volume_rules import custom_volume

log = logging.getLogger(__name__)
OUTDATED = 0
"""When a description was written that does not tell what is."""
IN_USE = "Volume is still in use by running instances"
READ = "it is being copied"
LET_GO = "let go of instances whose volume was being read"


class Guests(NamedTuple):
    """What is asked of the instances that show volumes, by project and name.

    `status` is LXD's word, `still` what holds one still that runs, `let_go` undoes that, `describe` writes down in its
    pool what it is.
    """

    status: Callable[[str, str], str]
    still: Callable[[str, str], Still | None]
    let_go: Callable[[str, str], Awaitable[None]]
    describe: Callable[[str, str], Awaitable[None]]


class Kept(NamedTuple):
    """What is stored about volumes."""

    volumes: VolumeRows
    snapshots: VolumeSnapshotRows


class VolumeActs:
    """What changes of volumes have in common."""

    def __init__(
        self, kept: Kept, pools: Pools, users: PoolUsers, guests: Guests, operations: Operations, events: Events
    ) -> None:
        self.rows, self.snapshots = kept
        self.pools, self.users, self.guests = pools, users, guests
        self._operations, self._events, self.locks = operations, events, operations.locks
        self._process = secrets.token_hex(8)
        self._closed: set[VolumePlace] = set()
        self._opened: set[tuple[VolumePlace, str]] = set()
        self._readers, self._at_rest = Counter[VolumePlace](), Counter[VolumePlace]()
        self._departures = Departures()
        self._before_end: list[Callable[[VolumePlace], Awaitable[None]]] = []

    def keeper(self, place: VolumePlace) -> StorageDriver:
        """The driver that keeps a volume. Raises NotFound, Unavailable."""
        return self.pools.keeper(place.pool)

    def row(self, place: VolumePlace) -> VolumeRow:
        """A volume's row. Raises NotFound."""
        self.pools.driver(place.pool)
        return self.rows.get(*place)

    def precede_end(self, end: Callable[[VolumePlace], Awaitable[None]]) -> None:
        """Have this called when a volume goes, before its row: what belongs to it goes as well. It may happen twice."""
        self._before_end.append(end)

    async def forget(self, row: VolumeRow) -> None:
        """A volume's files are gone, and so goes all that is stored about it."""
        for end in self._before_end:
            await end(place_of(row))
        await self.rows.delete(row)

    # Instances that show it

    def in_use(self, place: VolumePlace) -> list[str]:
        """The instances that run, or are frozen, and show a volume."""
        users = self.users.instances_with(*place)
        return [user for user in users if self.guests.status(place.project, user) != "Stopped"]

    def check_unused(self, place: VolumePlace, text: str = IN_USE) -> None:
        """Raise Invalid, with LXD's text, when instances that run show a volume."""
        if running := self.in_use(place):
            raise Invalid("storage volume", place.name, text=text, remedy=f"lxc stop {' '.join(running)}")

    @asynccontextmanager
    async def left_alone(self, place: VolumePlace) -> AsyncGenerator[None, None]:
        """None of those that show a volume starts or stops meanwhile; the caller holds its lock.

        Nor those that have opened it and are not told to show it: a disk that is being taken away is shown a little
        longer than its device is stored.
        """
        opened = {user for one, user in list(self._opened) if one == place}
        users = opened | set(self.users.instances_with(*place))
        async with self.locks.hold([instance_lock(place.project, user) for user in users]):
            past = opened - set(self.users.instances_with(*place))
            self._opened.difference_update([(place, user) for user in past])
            yield

    @contextmanager
    def closed(self, place: VolumePlace) -> Generator[None, None, None]:
        """No instance begins to show a volume meanwhile, also one that does not have it yet; the caller has its lock.

        An instance that gets it as a disk cannot take the volume's lock: the order of locks is the other one. Who asks
        for a change of the volume is refused meanwhile. Raises Conflict while it is read.
        """
        self.check_unread(place)
        self._closed.add(place)
        try:
            with self.locks.busy(volume_lock(*place), busy(place)):
                yield
        finally:
            self._closed.discard(place)

    def check_open(self, place: VolumePlace, user: str) -> None:
        """An instance of its project is about to show a volume, and has its own lock. Raises Conflict.

        May be called by any thread.
        """
        self._opened.add((place, user))  # first: who closes it meanwhile looks for that afterwards
        if place in self._closed:
            raise busy(place)
        if self._at_rest[place]:
            raise busy(place, READ)

    @asynccontextmanager
    async def unused(self, place: VolumePlace, text: str = IN_USE) -> AsyncGenerator[None, None]:
        """A volume is closed, and left alone. Raises Invalid when instances that run show it, Conflict."""
        with self.closed(place):
            async with self.left_alone(place):
                self.check_unused(place, text)
                yield

    @asynccontextmanager
    async def replaced(self, place: VolumePlace) -> AsyncGenerator[None, None]:
        """As `unused`, for what takes long: those that show it are not locked, but do not start."""
        with self.closed(place):
            async with self.left_alone(place):
                self.check_unused(place)
            yield

    @asynccontextmanager
    async def reading(self, run: Run, place: VolumePlace, *, itself: bool = True) -> AsyncGenerator[Still | None, None]:
        """A volume is read, or only snapshots of it, without its lock, which the operation lets go of.

        What holds those still who write to it then; without that none begins to show it. It stays, with its snapshots.
        Others may read it, too.
        """
        self._readers[place] += 1
        try:
            still: Still | None = None
            if itself:
                async with self.left_alone(place):
                    still = await self.still(run, place)
                    self._at_rest[place] += still is None
            run.held.release(volume_lock(*place))
            try:
                yield still
            finally:
                self._at_rest[place] -= itself and still is None
        finally:
            self._readers[place] -= 1
            self._readers += Counter()  # drops what is 0
            self._at_rest += Counter()
            self._departures.happened()

    async def soon_idle(self, place: VolumePlace, *more: VolumePlace) -> None:
        """Wait a moment for those who read a volume. Raises Conflict when it, or another, is busy for long."""
        self.locks.check_idle([volume_lock(*one) for one in (place, *more)])
        await self._departures.until(lambda: not self._readers[place])

    def check_unread(self, place: VolumePlace) -> None:
        """Raise Conflict while somebody reads a volume, or snapshots of it."""
        if self._readers[place]:
            raise busy(place, READ)

    async def still(self, run: Run, place: VolumePlace) -> Still | None:
        """What holds those still who write to a volume at that moment, None when nobody can now.

        For callers who have `left_alone`; they need not keep it for what is given.
        """
        if not self.in_use(place):
            return None
        users = self.users.instances_with(*place)
        if held := [user for user in users if self.guests.status(place.project, user) != "Frozen"]:
            arguments = {"project": place.project, "names": " ".join(held), "process": self._process}
            await run.step(_nothing, undo=LET_GO, arguments=arguments)
        loop = asyncio.get_running_loop()

        @contextmanager
        def still_then() -> Generator[None, None, None]:
            with _all_of(asyncio.run_coroutine_threadsafe(self._writers(place), loop).result()):
                yield

        return still_then

    async def _writers(self, place: VolumePlace) -> list[Still]:
        stills = [self.guests.still(place.project, user) for user in self.in_use(place)]
        return [still for still in stills if still is not None]  # who is frozen is not let go

    async def let_go(self, arguments: Mapping[str, str]) -> None:
        """Let those go on who were held still by a daemon that died; may be called twice."""
        if arguments["process"] == self._process:
            return  # who held them has let them go, and what is frozen now is somebody else's doing
        for name in arguments["names"].split():
            if self.guests.status(arguments["project"], name) == "Frozen":
                with suppress(Failure):  # it has ended meanwhile
                    await self.guests.let_go(arguments["project"], name)

    # What is told

    def view(self, row: VolumeRow, used_by: Sequence[str] = ()) -> StorageVolume:
        """A volume as the API shows it."""
        return StorageVolume(
            name=row.name,
            type="custom",
            config=row.config,
            description=row.description,
            content_type=row.content_type,
            project=row.project,
            created_at=row.created_at,
            used_by=list(used_by),
        )

    def description(self, row: VolumeRow, only: Sequence[VolumeSnapshotRow] | None = None) -> BackupConfig:
        """All there is to know of a volume, with all its snapshots or with these."""
        place = VolumePlace(row.pool, row.project, row.name)
        snapshots = self.snapshots.of(place) if only is None else only
        return BackupConfig(
            volume=self.view(row),
            volume_snapshots=[snapshot_view(one) for one in snapshots],
            pool=self.pools.described(row.pool),
        )

    async def describe(self, place: VolumePlace) -> None:
        """Write down what a volume is, in itself, though it is full; the caller holds its lock. Raises HostError."""
        driver, row = self.keeper(place), self.row(place)
        target = driver.volume_path(volume_of(place)) / DESCRIPTION
        told = self.description(row)

        def write() -> None:
            try:
                with driver.unheld(volume_of(place)):
                    files.write_whole(target, yaml_documents.dump(told), 0o400)
            except OSError as error:
                raise driver.layout.failure("storage volume", error) from error

        await in_thread(write)

    async def describe_done(self, place: VolumePlace) -> None:
        """As `describe`, after what cannot be taken back: what fails is logged, and tried again at the next start."""
        try:
            await self.describe(place)
        except HostError as failure:
            log.warning("the description of volume %s is outdated: %s", place.name, failure.message())
            with suppress(OSError):
                os.utime(self.keeper(place).volume_path(volume_of(place)) / DESCRIPTION, (OUTDATED, OUTDATED))

    def start(
        self,
        description: str,
        work: Work,
        places: Sequence[VolumePlace],
        *,
        resources: Mapping[str, Sequence[str]] | None = None,
        cancellable: bool = False,
        at_end: Callable[[], None] | None = None,
    ) -> Operation:
        """Start an operation that holds the locks of these volumes, which are of one project."""
        locks = [volume_lock(*place) for place in places]
        return self._operations.start(
            description,
            work,
            project=places[0].project,
            resources=resources,
            locks=locks,
            cancellable=cancellable,
            at_end=at_end,
        )

    def publish(
        self,
        action: str,
        place: VolumePlace,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Tell listeners that a volume was created, renamed, …"""
        source = f"/1.0/storage-pools/{place.pool}/volumes/custom/{place.name}"
        self._tell(f"storage-volume-{action}", source, place, requestor, context)

    def publish_snapshot(
        self,
        action: str,
        place: VolumePlace,
        name: str,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Tell listeners that a snapshot of a volume was created, renamed, …"""
        self.publish_below("snapshot", action, place, name, requestor, context)

    def publish_below(
        self,
        kind: str,
        action: str,
        place: VolumePlace,
        name: str,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Tell listeners the same of a snapshot or backup."""
        source = f"/1.0/storage-pools/{place.pool}/volumes/custom/{place.name}/{kind}s/{name}"
        self._tell(f"storage-volume-{kind}-{action}", source, place, requestor, context)

    def _tell(
        self,
        what: str,
        source: str,
        place: VolumePlace,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None,
    ) -> None:
        told = {"type": "custom", **(context or {})}
        self._events.lifecycle(what, source, project=place.project, context=told, requestor=requestor)


def place_of(row: VolumeRow) -> VolumePlace:
    """Where a volume is."""
    return VolumePlace(row.pool, row.project, row.name)


def volume_of(place: VolumePlace) -> Volume:
    """What storage drivers know a volume as."""
    return custom_volume(place.project, place.name)


def snapshot_of(place: VolumePlace, name: str) -> Snapshot:
    """What storage drivers know a snapshot as."""
    return Snapshot(volume_of(place), name)


def snapshot_view(row: VolumeSnapshotRow) -> StorageVolumeSnapshot:
    """A snapshot as the API and backups show it."""
    return StorageVolumeSnapshot(
        name=row.name,
        description=row.description,
        config=row.config,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def busy(place: VolumePlace, cause: str = "it is being moved, replaced or removed") -> Conflict:
    """The refusal of what cannot be done to a volume meanwhile."""
    return Conflict("storage volume", place.name, cause=cause, remedy="try again when that has ended")


async def _nothing() -> None:
    """Only noted."""


@contextmanager
def _all_of(found: Sequence[Still]) -> Generator[None, None, None]:
    with ExitStack() as stack:
        for one in found:
            stack.enter_context(one())
        yield
