"""Instances as streams of btrfs, where both sides have pools of that: no file is looked at, only what differs travels.

    source   {"subvolumes": […]}, one text            what follows (`model/btrfs_header.py`)
    source   one stream for each of these             what `btrfs send` says, each after that of its parent

The target says nothing meanwhile. What comes is received as backups are, by a program that sees nothing of the host.
Source: LXD 5.0.2, MigrationFSType_BTRFS.
"""

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from lightervisor.errors import Invalid
from lightervisor.instances import pumps
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import entered, in_thread, interruptible
from lightervisor.migration.frames import BtrfsFeatures
from lightervisor.migration.talk import Talk
from lightervisor.model.btrfs_header import BtrfsHeader, BtrfsSubvolume
from lightervisor.storage import lifting, streams
from lightervisor.storage.driver import Snapshot, Volume
from lightervisor.storage.streams import SubvolumeStreams

FEATURES = BtrfsFeatures(migration_header=True, header_subvolumes=True)
"""What both sides do. Numbers of subvolumes, which LXD refreshes by, are not asked for: a refresh goes by rsync."""
Tell = Callable[[int], None]


def common(said: BtrfsFeatures | None) -> BtrfsFeatures | None:
    """What both do; None when the other side is too old to say what is nested."""
    if said is None or not (said.migration_header and said.header_subvolumes):
        return None
    return FEATURES


async def send(
    talk: Talk, layouts: SubvolumeStreams, trees: Mapping[str, Path], tell: Tell, *, is_lifted: bool = False
) -> None:
    """Send subvolumes that nobody changes: of snapshots by name, the oldest first, and of the instance ("") last.

    Custom volumes are sent as what is lifted (`storage/lifting.py`). Raises what `Line` raises, HostError.
    """
    watch = Watch()
    async with AsyncExitStack() as stack:
        parts = {name: await in_thread(streams.described, tree, name) for name, tree in trees.items()}
        if is_lifted:
            parts = {name: lifting.lifted(own) for name, own in parts.items()}
        header = BtrfsHeader(subvolumes=[part for own in parts.values() for part in own])
        await talk.unless_ended(talk.fs.send_text(msgspec.json.encode(header)))
        parent, prepare = None, lifting.lift if is_lifted else None
        for name, tree in trees.items():
            copy = await stack.enter_async_context(entered(streams.unchanging(layouts.layout, tree, prepare)))
            for part in parts[name]:
                await _send_one(talk, copy, part, parent, watch, tell)
            parent = copy


async def _send_one(
    talk: Talk, copy: Path, part: BtrfsSubvolume, parent: Path | None, watch: Watch, tell: Tell
) -> None:
    reader, writer = pumps.pipe()

    def work() -> None:
        try:
            streams.send(copy, part, parent, writer, watch)
        finally:
            os.close(writer)

    await talk.unless_ended(talk.fs.give(reader, interruptible(watch.cancel, work), tell))


@asynccontextmanager
async def receiving(
    talk: Talk, driver: SubvolumeStreams, names: list[str], *, is_lifted: bool = False
) -> AsyncGenerator["Arrived", None]:
    """Read what is to come, of these snapshots; it is of a custom volume if `is_lifted`.

    Raises Invalid, what `Line` raises.
    """
    text = await talk.unless_ended(talk.fs.text())
    try:
        header = msgspec.json.decode(text, type=BtrfsHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("migration", cause=f"the other server does not say what it sends: {error}") from error
    streams.check(header.subvolumes, names)
    watch = Watch()
    async with entered(streams.receiving(driver.layout, watch)) as place:
        yield Arrived(talk, driver, header.subvolumes, place, watch, is_lifted=is_lifted)


class Arrived:
    """What has come, not yet believed."""

    def __init__(
        self,
        talk: Talk,
        driver: SubvolumeStreams,
        parts: list[BtrfsSubvolume],
        place: streams.Receiving,
        watch: Watch,
        *,
        is_lifted: bool,
    ) -> None:
        self._talk, self._driver, self._parts, self._place, self._watch = talk, driver, parts, place, watch
        self._is_lifted = is_lifted
        self._received: dict[str, dict[BtrfsSubvolume, Path]] = {}

    async def all(self, tell: Tell) -> None:
        """Receive all streams, in their order."""
        for part in self._parts:
            reader, writer = pumps.pipe()

            def work(reader: int = reader, known_as: str = part.uuid) -> Path:
                try:
                    return self._place.receive(reader, known_as)
                finally:
                    os.close(reader)

            working = interruptible(self._watch.cancel, work)
            try:
                path = await self._talk.unless_ended(self._talk.fs.take(writer, working, tell))
            except Invalid as error:
                cause = f"{part.snapshot}{part.path}: {error.cause}"
                raise Invalid(error.kind, error.name, cause=cause, remedy=error.remedy) from error
            self._received.setdefault(part.snapshot, {})[part] = path

    async def adopt(self, target: Volume | Snapshot, idmap: IdMap | None) -> None:
        """Make a snapshot, or the volume, of what has come."""
        parts = self._received[target.name if isinstance(target, Snapshot) else ""]

        def make(made: Path) -> None:
            streams.assembled(parts, made)
            if self._is_lifted:
                lifting.lower(made)

        await in_thread(self._driver.adopt, target, make, idmap)
