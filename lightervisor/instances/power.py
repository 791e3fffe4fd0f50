"""Changing the state of instances: start, stop, restart, freeze, unfreeze.

Source: LXD, PUT /1.0/instances/<name>/state.

What runs outlives this daemon. The exit of an instance, wanted or not, arrives as one event (`on_exit`), and
that alone cleans up after it, so that nothing depends on who asked.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Failure, Invalid
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.stateful import Stateful
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance_state import InstanceStatePut
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run

DESCRIPTIONS = {
    "start": "Starting instance",
    "stop": "Stopping instance",
    "restart": "Restarting instance",
    "freeze": "Freezing instance",
    "unfreeze": "Unfreezing instance",
}
BeforeStart = Callable[[InstanceRow], Awaitable[None]]
log = logging.getLogger(__name__)


class Power:
    """State changes, each an operation."""

    def __init__(
        self,
        rows: InstanceRows,
        catalog: Catalog,
        boot: Boot,
        stateful: Stateful,
        operations: Operations,
        events: Events,
    ) -> None:
        self._rows, self._catalog, self._boot, self.memory = rows, catalog, boot, stateful
        self._operations, self._events = operations, events
        self._restarting: set[asyncio.Task[None]] = set()
        self._before_start: BeforeStart | None = None

    def precede_starts(self, work: BeforeStart) -> None:
        """Take what is done about an instance that is about to start; it must not raise for the start's sake."""
        self._before_start = work

    def change(
        self, project: str, name: str, put: InstanceStatePut, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start the wanted change. Raises NotFound, Invalid for an unknown action."""
        self._rows.get(project, name)
        if put.action not in DESCRIPTIONS:
            raise Invalid("state", put.action, text=f"Unknown action: '{put.action}'")

        async def work(run: Run) -> None:
            await self._carry_out(run, project, name, put, requestor)

        return self._operations.start(
            DESCRIPTIONS[put.action],
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"]},
            locks=[instance_lock(project, name)],
            after=(lambda: self._boot.read_to_end(project, name)) if put.action == "start" else None,
            cancellable=put.stateful or put.action in ("stop", "restart"),
        )

    async def _carry_out(
        self, run: Run, project: str, name: str, put: InstanceStatePut, requestor: EventLifecycleRequestor | None
    ) -> None:
        timeout_s = None if put.timeout < 0 else float(put.timeout)
        match put.action:
            case "start":
                await self.start(project, name, requestor, revived_by=run if put.stateful else None)
            case "stop" if put.stateful:
                await self._stop_statefully(run, project, name, requestor)
            case "stop":
                await self.stop(project, name, timeout_s=timeout_s, force=put.force, requestor=requestor)
            case "restart":
                await self._restart(project, name, timeout_s=timeout_s, force=put.force, requestor=requestor)
            case "freeze":
                self.check_freezable(project, name)
                await self.freeze(project, name, requestor)
            case _:
                await self.unfreeze(project, name, requestor)

    async def start(
        self,
        project: str,
        name: str,
        requestor: EventLifecycleRequestor | None = None,
        *,
        revived_by: Run | None = None,
    ) -> None:
        """Start an instance, or thaw it when it is frozen; the caller holds its lock.

        An operation that revives it brings its processes back; any other start throws a state that is kept away.
        """
        status = self._catalog.status(project, name)
        if status == "Frozen":
            await self.unfreeze(project, name, requestor)
            return
        if status != "Stopped":
            raise Invalid("instance", name, text="The instance is already running")
        if self._before_start is not None:
            await self._before_start(self._rows.get(project, name))
        row = self._rows.get(project, name)
        if revived_by is not None:
            await self.memory.start(revived_by, row)
        else:
            await self.memory.forget(row)
            await self._boot.start(self._rows.get(project, name))
        self._events.happened("instance", "started", name, project, requestor)

    async def start_at_boot(self, project: str, name: str) -> None:
        """Start an instance that ran before or is to start with the host; nothing happens when somebody was faster."""
        async with self._operations.locks.hold([instance_lock(project, name)]):
            if not self._rows.exists(project, name) or self._catalog.status(project, name) != "Stopped":
                return
            if (row := self._rows.get(project, name)).stateful:  # LXD would throw it away
                await self.memory.start_at_boot(row)
                self._events.happened("instance", "started", name, project, None)
            else:
                await self.start(project, name)

    def start_again(self, project: str, name: str) -> None:
        """The guest rebooted and ended, as its configuration changed: start it once that end is over."""
        task = asyncio.get_running_loop().create_task(self._start_again(project, name))
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _start_again(self, project: str, name: str) -> None:
        async with self._operations.locks.hold([instance_lock(project, name)]):
            try:
                if self._catalog.status(project, name) == "Stopped":
                    await self._boot.start(self._rows.get(project, name))
                    self._events.happened("instance", "restarted", name, project)
            except Failure as failure:
                log.warning("instance %s rebooted and could not be started: %s", name, failure.message())

    async def stop(
        self,
        project: str,
        name: str,
        *,
        timeout_s: float | None,
        force: bool,
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """Stop an instance, by force when asked or with a timeout of 0; the caller holds its lock.

        Raises Failure with LXD's text when it did not stop in time.
        """
        if self._catalog.status(project, name) == "Stopped":
            raise Invalid("instance", name, text="The instance is already stopped")
        is_forced = force or timeout_s == 0
        if is_forced:
            await self._boot.kill(project, name)
        else:
            await self._shut_down(project, name, timeout_s)
        await self._boot.cleaned_up(project, name)
        self._boot.check_cleared(project, name)
        self._events.happened("instance", "stopped" if is_forced else "shutdown", name, project, requestor)

    async def _stop_statefully(
        self, run: Run, project: str, name: str, requestor: EventLifecycleRequestor | None
    ) -> None:
        """Keep what its processes have in memory, and end them."""
        row = self._rows.get(project, name)
        if self._catalog.status(project, name) == "Stopped":
            raise Invalid("instance", name, text="The instance is already stopped")
        if row.ephemeral:
            text = "An ephemeral instance ends with its stop: its state would go with it"
            raise Invalid("instance", name, text=text, remedy=f"lxc stop {name}")
        await self.memory.check(row, "Unable to stop the instance statefully")
        await self.memory.keep(run, row)
        await self._boot.cleaned_up(project, name)
        self._boot.check_cleared(project, name)
        self._events.happened("instance", "stopped", name, project, requestor)

    async def _shut_down(self, project: str, name: str, timeout_s: float | None) -> None:
        if self._catalog.status(project, name) == "Frozen":
            await self._boot.containers.unfreeze(self._boot.container_name(project, name))
        try:
            await self._boot.shut_down(project, name, timeout_s)
        except TimeoutError as error:
            status = self._catalog.status(project, name)
            raise Failure(
                "instance",
                name,
                text=f'Failed shutting down instance, status is "{status}": context deadline exceeded',
                remedy=f"lxc stop --force {name}",
            ) from error

    async def _restart(
        self,
        project: str,
        name: str,
        *,
        timeout_s: float | None,
        force: bool,
        requestor: EventLifecycleRequestor | None,
    ) -> None:
        if self._catalog.status(project, name) == "Stopped":
            raise Invalid("instance", name, text="The instance is already stopped")
        with self._boot.kept(project, name):
            await self.stop(project, name, timeout_s=timeout_s, force=force, requestor=requestor)
        await self.start(project, name, requestor)
        self._events.happened("instance", "restarted", name, project, requestor)

    @asynccontextmanager
    async def stopped_meanwhile(
        self, project: str, name: str, requestor: EventLifecycleRequestor | None = None, *, starts: bool = True
    ) -> AsyncGenerator[None, None]:
        """An instance that runs is stopped, at once, while the context lasts, and started again at its end.

        Unless it `starts` that is left to the caller, when all went well.

        Should the daemon die meanwhile, it is started with the next one. The caller holds the instance's lock.
        """
        if self._catalog.status(project, name) == "Stopped":
            yield
            return
        with self._boot.kept(project, name), self._boot.power_remembered(project, name):
            await self.stop(project, name, timeout_s=0, force=True, requestor=requestor)
        try:
            yield
        except BaseException:
            try:
                await self.start(project, name, requestor)
            except Failure as failure:
                log.error("instance %s could not be started again: %s", name, failure.message())
            raise
        if starts:
            await self.start(project, name, requestor)

    def check_freezable(self, project: str, name: str) -> None:
        """Raise Invalid with LXD's texts unless an instance runs and is not frozen."""
        status = self._catalog.status(project, name)
        if status == "Frozen":
            raise Invalid("instance", name, text="The container is already frozen")
        if status != "Running":
            raise Invalid("instance", name, text="The container is not running")

    async def freeze(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Freeze what `check_freezable` allows; the caller holds its lock."""
        await self._boot.containers.freeze(self._boot.container_name(project, name))
        self._events.happened("instance", "paused", name, project, requestor)

    async def unfreeze(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Let a frozen instance go on; the caller holds its lock. Raises Invalid with LXD's text for one that runs."""
        if self._catalog.status(project, name) != "Frozen":
            raise Invalid("instance", name, text="The container is already running")
        if HANDED_OVER in self._rows.get(project, name).config:
            await self._rows.merge_config(project, name, {HANDED_OVER: None})
        await self._boot.containers.unfreeze(self._boot.container_name(project, name))
        self._events.happened("instance", "resumed", name, project, requestor)

    async def stop_all(self, *, limit_s: float = 30) -> None:
        """The host goes down: stop everything cleanly, in order of `boot.stop.priority`, by force after each limit."""
        order: dict[int, list[tuple[str, str, float]]] = {}
        for row in self._rows.list():
            if self._catalog.status(row.project, row.name) == "Stopped":
                continue
            config = self._catalog.expand(row).config
            limit = float(config.get("boot.host_shutdown_timeout") or limit_s)
            order.setdefault(int(config.get("boot.stop.priority") or 0), []).append((row.project, row.name, limit))
        for priority in sorted(order, reverse=True):
            async with asyncio.TaskGroup() as group:
                for project, name, limit in order[priority]:
                    group.create_task(self._stop_for_host(project, name, limit))

    async def _stop_for_host(self, project: str, name: str, limit_s: float) -> None:
        with self._boot.power_remembered(project, name):
            try:
                await self.stop(project, name, timeout_s=limit_s, force=limit_s == 0)
                return
            except (Failure, OSError) as error:
                log.warning("%s did not stop within %s s, it is killed: %s", name, limit_s, error)
            try:
                if self._catalog.status(project, name) != "Stopped":
                    await self.stop(project, name, timeout_s=0, force=True)
            except (Failure, OSError) as error:  # the others are stopped all the same
                log.error("%s could not be killed: %s", name, error)
