"""Keeping what the processes of an instance have in memory, and bringing them back. Source: LXD, `stateful`; criu(8).

The memory is in the directory `state` beside the root file system, as on LXD. The record says `stateful` from the
moment at which the dump is whole and before its processes end, until they run again: so a daemon that dies finds an
instance that runs, whose state is of no use any more, or one that is stopped and has it.
"""

import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lightervisor.config.names import volume_name
from lightervisor.config.volatile_keys import HANDED_OVER, POSSIBLY, SURELY
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import HostError, Invalid, NotFound, Unsupported
from lightervisor.instances import dump_checks, memory_files, nics_aside
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.memory_files import STATE
from lightervisor.instances.run_keys import State
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.kernel import paths
from lightervisor.kernel.guests import Guest, guest_of
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.operations.operations import Run
from lightervisor.runtime import criu

_LARGEST = 1 << 20  # bytes of liblxc's lines
UNDO = "let instance go on whose memory was being kept"
UNDO_START = "keep memory of instance that was being brought back, unless it runs"
log = logging.getLogger(__name__)
Held = Callable[[], Awaitable[bool]]


class Stateful:
    """Memory of instances; the callers hold their locks."""

    def __init__(
        self, rows: InstanceRows, catalog: Catalog, boot: Boot, devices: InstanceDevices, volumes: InstanceVolumes
    ) -> None:
        self._rows, self._catalog, self.boot = rows, catalog, boot
        self._devices, self._volumes = devices, volumes

    def directory(self, row: InstanceRow) -> Path:
        """Where the memory of an instance is kept."""
        pool = self._volumes.pool_of(self._catalog.expand(row).devices)
        return self._volumes.directory(pool, row.project, row.name) / STATE

    async def check(self, row: InstanceRow, doing: str) -> None:
        """Raise Unsupported, naming everything that keeps criu from dumping a running instance."""
        container, expanded = volume_name(row.project, row.name), self._catalog.expand(row)
        pid = self.boot.containers.init_pid(container)
        if pid is None:
            raise Invalid("instance", row.name, text="The instance isn't running")
        if self._catalog.status(row.project, row.name) == "Frozen":
            text = f"{doing}: the instance is frozen"
            raise Invalid("instance", row.name, text=text, remedy=f"lxc start {row.name}")
        lines = (self.boot.log_directory(row.project, row.name) / "lxc.conf").read_text()
        is_revived = self.boot.containers.is_revived(container)

        def look() -> list[str]:
            return dump_checks.blockers(row.name, container, pid, expanded, lines, is_revived=is_revived)

        if found := await in_thread(look):
            raise Unsupported("instance", row.name, text=f"{doing}: {dump_checks.told(found)}")

    async def keep(self, run: Run, row: InstanceRow, *, held: Held | None = None) -> None:
        """Write the memory of a running instance into its `state`, and stop it.

        With `held` that is done before, while nothing in it moves, and decides: with False it goes on, and with True
        it has called `hand_over`. Raises
        HostError with criu's reason, and what `held` raises; then it runs as before.
        """
        arguments = {"project": row.project, "name": row.name}
        await run.step(lambda: self._keep(row, held), undo=UNDO, arguments=arguments)

    async def _keep(self, row: InstanceRow, held: Held | None) -> None:
        container, expanded = volume_name(row.project, row.name), self._catalog.expand(row)
        containers, directory = self.boot.containers, self.directory(row)
        guest = self._guest(container)
        await in_thread(memory_files.make_empty, directory)
        self._write_lines(row, directory)

        async def decide() -> bool:
            if held is None:
                await self._whole(row)
            elif not await held():
                return False
            self.boot.expect_stop(row.project, row.name)
            return True

        containers.note_change(container)  # its nics become others, of which its monitor does not know
        try:
            await nics_aside.set_aside(self._devices, row, expanded, guest, directory)
            log = self.boot.log_directory(row.project, row.name) / "lxc.log"
            await containers.dump(container, directory / "lxc.conf", directory, decide, log=log)
        except BaseException:
            await in_thread(self._keep_log, row, directory / "dump.log")
            await finished(self.let_go_on(row))
            raise
        if containers.init_pid(container) is not None:
            await self.let_go_on(row)

    async def _whole(self, row: InstanceRow) -> None:
        await self._volumes.keep(self._volumes.pool_of(self._catalog.expand(row).devices))
        await self._note(row.project, row.name, stateful=True)

    async def hand_over(self, row: InstanceRow) -> None:
        """From now on it may run on another server: whatever happens to this daemon, it does not go on here unasked.

        It is frozen first, so that it stands still whoever dies: this daemon, or criu.
        """
        await self.boot.containers.freeze(volume_name(row.project, row.name))
        await self._whole(row)
        await self._rows.merge_config(row.project, row.name, {HANDED_OVER: POSSIBLY})

    async def take_back(self, row: InstanceRow) -> None:
        """It is sure that it does not run on another server: it goes on here."""
        await self._rows.merge_config(row.project, row.name, {HANDED_OVER: None})
        await self.boot.containers.unfreeze(volume_name(row.project, row.name))

    async def give_up(self, row: InstanceRow) -> None:
        """It is sure that it runs on another server: whatever happens now, it ends here."""
        await self._rows.merge_config(row.project, row.name, {HANDED_OVER: SURELY})

    async def let_go_on(self, row: InstanceRow) -> None:
        """Give an instance that runs its nics back; its state is of no use. One that has stopped keeps a whole one.

        One that was handed over, when the daemon or criu died, stands still until somebody starts it, or ends when it
        is known to run elsewhere.
        """
        container, directory = volume_name(row.project, row.name), self.directory(row)
        row = self._rows.get(row.project, row.name)
        handed_over = row.config.get(HANDED_OVER)
        if handed_over == SURELY and self.boot.containers.init_pid(container) is not None:
            await self.boot.kill(row.project, row.name)
        guest = guest_of(self.boot.containers.init_pid(container))
        if guest is not None:
            self.boot.expect_stop(row.project, row.name, wanted=False)
            volatile = await nics_aside.put_back(self._devices, row, self._catalog.expand(row), guest, directory)
            await self._rows.merge_config(row.project, row.name, dict(volatile))
        if guest is not None or not row.stateful:
            await self.forget(row)
        if guest is None:
            return
        is_frozen = self._catalog.status(row.project, row.name) == "Frozen"
        if handed_over is None and is_frozen:
            await self.boot.containers.unfreeze(container)
        elif handed_over is not None:
            log.warning("instance %s is frozen: it may run on the server that it was being moved to", row.name)
            if not is_frozen:
                await self.boot.containers.freeze(container)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """A dump did not come to its end: see `let_go_on`; may be called twice."""
        try:
            row = self._rows.get(arguments["project"], arguments["name"])
        except NotFound:
            return
        await self.let_go_on(row)

    async def start(self, run: Run, row: InstanceRow) -> None:
        """Bring the processes of a stopped instance back. Raises Invalid without a state, HostError with the reason.

        A failure leaves the state for another try.
        """
        directory = self.directory(row)
        if not row.stateful or not directory.is_dir():
            text = "Container has no existing state to restore"
            raise Invalid("instance", row.name, text=text, remedy=f"lxc start --stateless {row.name}")
        await self._check_map(row, directory)
        arguments = {"project": row.project, "name": row.name}
        try:
            await run.step(lambda: self.boot.start(row, State(directory)), undo=UNDO_START, arguments=arguments)
        except HostError as error:
            await in_thread(self._keep_log, row, directory / "restore.log")
            remedy = f"its state is kept: try again, or lxc start --stateless {row.name}"
            raise HostError("instance", row.name, text=error.sentence(), remedy=remedy) from error
        await self.forget(row)

    async def start_at_boot(self, row: InstanceRow) -> None:
        """Bring the processes of a stopped instance back as `start` does; a daemon that dies finds out by `settle`."""
        directory = self.directory(row)
        await self._check_map(row, directory)
        await self.boot.start(row, State(directory))
        await self.forget(row)

    async def settle(self) -> None:
        """The daemon starts: the state of an instance that runs is of no use any more, and must never be."""
        for row in self._rows.list():
            if row.stateful and self._catalog.status(row.project, row.name) != "Stopped":
                await self.forget(row)

    async def bring_back(self, project: str, name: str, settled: Callable[[], Awaitable[None]]) -> None:
        """Bring the processes of an instance back that came with its memory, as a part of its birth.

        `settled` is done before they move; what it raises keeps them from it. Raises HostError.
        """
        await self._note(project, name, stateful=True)
        row = self._rows.get(project, name)
        await self._check_map(row, self.directory(row))
        await self.boot.start(row, State(self.directory(row), settled))
        await self.forget(self._rows.get(project, name))

    async def _check_map(self, row: InstanceRow, directory: Path) -> None:
        """Raise Invalid when processes that were kept had other ids on the host than they would have now."""
        idmap = self.boot.idmap_of(row, self._catalog.expand(row))
        now = [f"{key} = {value}" for key, value in (idmap.lxc_lines() if idmap is not None else [])]
        # It may be from another server.
        try:
            text = await in_thread(lambda: paths.read(directory, "lxc.conf", limit=_LARGEST).decode(errors="replace"))
        except OSError as error:
            raise HostError("instance", row.name, cause=f"its state is damaged: lxc.conf: {error.strerror}") from error
        was = [line for line in text.splitlines() if line.startswith("lxc.idmap")]
        if sorted(now) != sorted(was):
            text = f"Its processes had the id map {_shown(was)}, here they would have {_shown(now)}"
            raise Invalid("instance", row.name, text=text, remedy=f"lxc start --stateless {row.name}")

    async def undo_start(self, arguments: Mapping[str, str]) -> None:
        """A restore did not come to its end: if the instance runs, it has; may be called twice."""
        try:
            row = self._rows.get(arguments["project"], arguments["name"])
        except NotFound:
            return
        if self._catalog.status(row.project, row.name) != "Stopped":
            await self.forget(row)

    async def forget(self, row: InstanceRow) -> None:
        """Throw the state of an instance away, if it has one."""
        if row.stateful:
            await self._note(row.project, row.name, stateful=False)
        await in_thread(paths.remove_tree, self.directory(row))

    async def give(self, row: InstanceRow, pool: str, place: SnapshotPlace) -> None:
        """Give a snapshot the memory that was just written down, the files of which nobody changes any more."""
        source = self.directory(row)
        await self._volumes.put_in_snapshot(pool, place, lambda snapshot: memory_files.share(source, snapshot / STATE))
        await self._volumes.keep(pool)

    async def check_kept(self, row: InstanceRow, pool: str, place: SnapshotPlace) -> None:
        """See that a snapshot's memory can be brought back, in an instance as this one, before anything is stopped.

        Raises HostError when it is gone, Invalid for another id map, Unsupported without criu.
        """
        source = self._volumes.snapshot_directory(pool, place) / STATE
        if not source.is_dir():
            raise HostError("snapshot", place.name, cause=f"its memory is not there any more: {source}")
        await in_thread(criu.check)
        await self._check_map(row, source)

    async def take(self, row: InstanceRow, pool: str, place: SnapshotPlace) -> None:
        """Give a stopped instance the memory of its snapshot. Raises HostError when there is none."""
        source = self._volumes.snapshot_directory(pool, place) / STATE
        if not source.is_dir():
            raise HostError("snapshot", place.name, cause=f"its memory is not there any more: {source}")
        await in_thread(memory_files.share, source, self.directory(row))
        await self._volumes.keep(pool)
        await self._note(row.project, row.name, stateful=True)

    def _keep_log(self, row: InstanceRow, log: Path) -> None:
        """Have what criu said among the logs of the instance, under the name that LXD gives it."""
        with suppress(FileNotFoundError):
            shutil.copy(log, self.boot.log_directory(row.project, row.name) / f"migration_{log.name}")

    def _write_lines(self, row: InstanceRow, directory: Path) -> None:
        """liblxc's configuration of the instance that runs, less its nics."""
        lines = (self.boot.log_directory(row.project, row.name) / "lxc.conf").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("lxc.net.")]
        (directory / "lxc.conf").write_text("".join(f"{line}\n" for line in kept))

    async def _note(self, project: str, name: str, *, stateful: bool) -> None:
        await self._rows.replace(msgspec.structs.replace(self._rows.get(project, name), stateful=stateful))

    def _guest(self, container: str) -> Guest:
        guest = guest_of(self.boot.containers.init_pid(container))
        if guest is None:
            raise Invalid("instance", container, text="The instance isn't running")
        return guest


def _shown(lines: Sequence[str]) -> str:
    return ", ".join(line.partition(" = ")[2] for line in lines) or "of the host"
