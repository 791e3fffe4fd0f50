"""Instances that are frozen while a client has use for that: a lease.

    client     PUT …/state {"action": "freeze", "lease": true}     an operation with a secret for one websocket, `lease`
    client     opens it                                            the instance is frozen
    server     "frozen"
    client     "alive", at least each `SILENCE_S`                  it stays so
    client     "keep"                                              it stays so for good, the operation ends

When the client goes or says nothing any more before "keep", or the daemon dies, the instance goes on. Who moves what
runs to another server needs that: a client that is killed meanwhile lets nobody thaw it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.errors import Failure, NotFound
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.power import Power
from lightervisor.instances.sockets import Sockets
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Channel, Operations, Run

LEASE, FROZEN, KEEP = "lease", "frozen", "keep"
CONNECT_S = 10
SILENCE_S = 60.0
UNDO = "let go of instance that a client has frozen"


class FrozenWhile:
    """Freezes instances for as long as clients hold a lease."""

    def __init__(self, catalog: Catalog, power: Power, operations: Operations, journal: Journal) -> None:
        self._catalog, self._power, self._operations = catalog, power, operations
        journal.register(UNDO, self._let_go)

    def start(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start freezing an instance once its websocket has come. Raises NotFound."""
        self._catalog.row(project, name)
        sockets = Sockets((LEASE,), connect_s=CONNECT_S)

        async def work(run: Run) -> None:
            async with sockets.connected():
                async with self._operations.locks.hold([instance_lock(project, name)]):
                    self._power.check_freezable(project, name)
                    arguments = {"project": project, "name": name}
                    await run.step(lambda: self._power.freeze(project, name, requestor), undo=UNDO, arguments=arguments)
                await self._held(sockets[LEASE], name)
                await run.commit()

        return self._operations.start(
            "Freezing instance",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"]},
            cancellable=True,
            sockets=sockets.names,
            connect=sockets.connect,
        )

    async def _held(self, channel: Channel, name: str) -> None:
        """Return when the client wants it to stay frozen. Raises Failure when it does not say so."""
        cause = "the client that had it frozen is gone"
        try:
            await channel.send(FROZEN)
            while True:
                async with asyncio.timeout(SILENCE_S):
                    frame = await channel.receive()
                if frame == KEEP:
                    return
                if frame is None:
                    break
        except TimeoutError:
            cause = f"the client that had it frozen has said nothing for {SILENCE_S:g} s"
        except ConnectionError:
            pass
        raise Failure("instance", name, cause=cause, remedy="it goes on: try again what it was frozen for")

    async def _let_go(self, arguments: Mapping[str, str]) -> None:
        """Let it go on, if it is frozen still; may be called twice."""
        project, name = arguments["project"], arguments["name"]
        async with self._operations.locks.hold([instance_lock(project, name)]):
            with suppress(NotFound):
                config = self._catalog.row(project, name).config
                if HANDED_OVER not in config and self._catalog.status(project, name) == "Frozen":
                    await self._power.unfreeze(project, name)
