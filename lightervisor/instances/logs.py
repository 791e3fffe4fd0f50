"""The log files of an instance. Source: LXD, /1.0/instances/<name>/logs."""

from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.model.event import EventLifecycleRequestor


class Logs:
    """The log files of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, events: Events) -> None:
        self._catalog, self._boot, self._events = catalog, boot, events

    def list(self, project: str, name: str) -> list[str]:
        """The names of its log files. Raises NotFound for an unknown instance."""
        raise NotImplementedError

    def open(self, project: str, name: str, file: str, requestor: EventLifecycleRequestor | None = None) -> int:
        """A descriptor to read a log file, the caller's to close. Raises NotFound, Invalid for a bad name."""
        raise NotImplementedError

    def delete(self, project: str, name: str, file: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Remove a recorded output (exec_*); liblxc's own logs stay. Raises NotFound, Invalid."""
        raise NotImplementedError
