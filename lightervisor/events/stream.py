"""The daemon's event stream: lifecycle, operation and logging events to any number of listeners.

An event is encoded once and queued to each listener that wants it. A listener that does not read is cut
off rather than waited for: publishing never blocks. Source: LXD, GET /1.0/events.
"""

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from lightervisor.model.event import Event, EventLifecycle, EventLifecycleRequestor, EventLogging
from lightervisor.model.operation import Operation
from lightervisor.model.times import now

BACKLOG = 4096
TYPES = ("logging", "operation", "lifecycle")


class Subscription:
    """One listener: an asynchronous iterator of encoded events, ended when the listener was too slow."""

    def __init__(self, types: frozenset[str], project: str | None, *, sees_server: bool) -> None:
        self.types, self.project, self.sees_server = types, project, sees_server
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(BACKLOG)

    def wants(self, kind: str, project: str) -> bool:
        """Whether this listener asked for such an event; those without a project are the server's."""
        is_of_project = self.project is None or self.project == project
        return kind in self.types and (is_of_project if project else self.sees_server)

    def offer(self, event: bytes) -> bool:
        """Queue an event; false when the listener has fallen too far behind."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    def end(self) -> None:
        """Let the iteration stop; what is queued is dropped when the queue is full."""
        while not self.offer_end():
            self._queue.get_nowait()

    def offer_end(self) -> bool:
        """Try to queue the end mark."""
        try:
            self._queue.put_nowait(None)
        except asyncio.QueueFull:
            return False
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (event := await self._queue.get()) is not None:
            yield event


class Events:
    """Where everything that happens is published."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @contextmanager
    def subscribe(
        self, types: frozenset[str], project: str | None, *, sees_server: bool = True
    ) -> Generator[Subscription, None, None]:
        """Listen to some types of one project, or of all with `project=None`, while the context lasts.

        Without `sees_server` the events of the server itself, which have no project, are left out.
        """
        subscription = Subscription(types, project, sees_server=sees_server)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every listener's iteration (the daemon stops)."""
        for subscription in list(self._subscriptions):
            subscription.end()

    def operation(self, operation: Operation, project: str) -> None:
        """Publish the state of an operation."""
        self._publish("operation", project, operation)

    def lifecycle(
        self,
        action: str,
        source: str,
        *,
        project: str = "",
        context: Mapping[str, Any] | None = None,
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """Publish that something happened to an object; `source` is its API URL."""
        self._publish(
            "lifecycle",
            project,
            EventLifecycle(
                action=action,
                source=source,
                context=dict(context) if context else msgspec.UNSET,
                requestor=requestor or msgspec.UNSET,
            ),
        )

    def happened(
        self,
        kind: str,
        action: str,
        name: str,
        project: str = "",
        requestor: EventLifecycleRequestor | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish what happened to an object that is listed at /1.0/<kind>s, or, with more than its name, below it."""
        source = f"/1.0/{kind}s/{name}"
        self.lifecycle(f"{kind}-{action}", source, project=project, context=context, requestor=requestor)

    def logging(self, level: str, message: str, context: Mapping[str, str]) -> None:
        """Publish a log line."""
        self._publish("logging", "", EventLogging(level=level, message=message, context=dict(context)))

    def _publish(self, kind: str, project: str, metadata: object) -> None:
        listeners = [s for s in self._subscriptions if s.wants(kind, project)]
        if not listeners:
            return
        event = msgspec.json.encode(
            Event(type=kind, timestamp=now(), metadata=metadata, location="none", project=project or msgspec.UNSET),
            order="deterministic",
        )
        for listener in listeners:
            if not listener.offer(event):
                self._subscriptions.discard(listener)
                listener.end()
