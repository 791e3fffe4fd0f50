"""The console of an instance: attached to, read, emptied. Source: LXD, /1.0/instances/<name>/console.

A console has one user: who attaches takes it over from whoever had it.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from lightervisor.config.names import volume_name
from lightervisor.errors import HostError, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances import terminals
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog, check_running
from lightervisor.instances.pumps import Ended, close_all, gone, pump_in, pump_out
from lightervisor.instances.sockets import Sockets
from lightervisor.model.console import InstanceConsolePost
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Channel, Operations, Run
from lightervisor.runtime import console_log

Answer = TypeVar("Answer")
LET_GO_S, ATTEMPT_S = 2.0, 0.02


class Consoles:
    """The consoles of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, operations: Operations, events: Events) -> None:
        self._catalog, self._boot, self._operations, self._events = catalog, boot, operations, events
        self._users: dict[str, Ended] = {}

    def attach(
        self, project: str, name: str, post: InstanceConsolePost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Attach a client: an operation with websockets `0` and `control`. Raises NotFound, Invalid."""
        self._catalog.row(project, name)
        if post.type == "vga":
            raise Invalid("console", post.type, text="VGA console is only supported by virtual machines")
        if post.type not in ("", "console"):
            raise Invalid("console", post.type, text=f'Unknown console type "{post.type}"')
        check_running(self._catalog, project, name)
        sockets = Sockets(("0", "control"))

        async def work(_run: Run) -> None:
            async with sockets.connected():
                self._events.happened("instance", "console", name, project, requestor)
                await self._use(volume_name(project, name), post, sockets)

        return self._operations.start(
            "Showing console",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            sockets=sockets.names,
            connect=sockets.connect,
        )

    async def _use(self, container: str, post: InstanceConsolePost, sockets: Sockets) -> None:
        ended: Ended = asyncio.get_running_loop().create_future()
        former, self._users[container] = self._users.get(container), ended
        if former is not None and not former.done():
            former.set_result(None)
        try:
            terminal, master = await self._open(container, was_in_use=former is not None)
            try:
                terminals.resize(master, post.width, post.height)
                self._boot.containers.console_resized(container)
                await _first_to_end(
                    pump_out(os.dup(master), sockets["0"], ended),
                    _type(sockets["0"], os.dup(master)),
                    self._control(container, sockets["control"], master),
                )
            finally:
                close_all(terminal, master)
        finally:
            if self._users.get(container) is ended:
                del self._users[container]

    async def _control(self, container: str, channel: Channel, master: int) -> None:
        """Obey window sizes until the client has gone."""
        while (frame := await channel.receive()) is not None:
            control = terminals.message(frame)
            if control is not None:
                terminals.obey(control, master)
                self._boot.containers.console_resized(container)

    async def _open(self, container: str, *, was_in_use: bool) -> tuple[int, int]:
        """The console's descriptors. liblxc's monitor takes a moment to notice that its former user has gone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LET_GO_S
        while True:
            try:
                return await self._boot.containers.console(container)
            except HostError as error:
                if not was_in_use or loop.time() > deadline:
                    remedy = "another program is attached to it, such as lxc-console"
                    raise HostError("console", cause=error.cause, remedy=remedy) from error
            await asyncio.sleep(ATTEMPT_S)

    async def log(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> bytes:
        """What the console has shown since the last start, of that the last 128 KiB. Raises NotFound."""
        text = await asyncio.to_thread(_of_file, console_log.read, self._directory(project, name))
        self._events.happened("instance", "console-retrieved", f"{name}/console", project, requestor)
        return text

    async def clear(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Forget what the console has shown. Raises NotFound."""
        await asyncio.to_thread(_of_file, console_log.clear, self._directory(project, name))
        self._events.happened("instance", "console-reset", f"{name}/console", project, requestor)

    def _directory(self, project: str, name: str) -> Path:
        self._catalog.row(project, name)
        return self._boot.log_directory(project, name)


def _of_file(work: Callable[[Path], Answer], directory: Path) -> Answer:
    try:
        return work(directory)
    except FileNotFoundError as error:
        raise NotFound("console log", text="Not Found") from error


async def _first_to_end(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them ends, then end the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _type(channel: Channel, master: int) -> None:
    """Pass on what is typed until the client has gone; the end of its input alone does not detach it."""
    if await pump_in(channel, master):
        await gone(channel)
