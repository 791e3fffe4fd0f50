"""The console of an instance: attached to, read, emptied. Source: LXD, /1.0/instances/<name>/console."""

from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.model.console import InstanceConsolePost
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Operations


class Consoles:
    """The consoles of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, operations: Operations, events: Events) -> None:
        self._catalog, self._boot, self._operations, self._events = catalog, boot, operations, events

    def attach(
        self, project: str, name: str, post: InstanceConsolePost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Attach a client: an operation with websockets `0` and `control`. Raises NotFound, Invalid, Unsupported."""
        raise NotImplementedError

    async def log(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> bytes:
        """What the console showed lately; of a stopped instance, its log file. Raises NotFound."""
        raise NotImplementedError

    async def clear(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Forget what the console showed. Raises NotFound, Invalid when the instance does not run."""
        raise NotImplementedError
