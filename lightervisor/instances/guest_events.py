"""What the guest API tells about an instance while it runs: changes of `user.*` keys and of devices.

Source: LXD, GET /1.0/events of the guest API; compared with LXD 5.0.2.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import msgspec

from lightervisor.config.merge import Expanded
from lightervisor.config.names import volume_name
from lightervisor.events.stream import Subscription
from lightervisor.model.event import Event
from lightervisor.model.times import now

TYPES = ("config", "device")


class GuestEvents:
    """Who listens in which container."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Subscription]] = {}

    @contextmanager
    def subscribe(self, project: str, name: str, types: frozenset[str]) -> Generator[Subscription, None, None]:
        """Listen to some types of events of one instance while the context lasts."""
        container, subscription = volume_name(project, name), Subscription(types, None, sees_server=True)
        self._listeners.setdefault(container, set()).add(subscription)
        try:
            yield subscription
        finally:
            listeners = self._listeners.get(container, set())
            listeners.discard(subscription)
            if not listeners:
                self._listeners.pop(container, None)

    def changed(
        self, project: str, name: str, before: Expanded, after: Expanded, replaced: frozenset[str] = frozenset()
    ) -> None:
        """Tell what is different in a running instance; `replaced` are devices that were taken away and put back."""
        container = volume_name(project, name)
        if container not in self._listeners:
            return
        for key in sorted(before.config.keys() | after.config.keys()):
            old, new = before.config.get(key, ""), after.config.get(key, "")
            if key.startswith("user.") and old != new:
                self._publish(container, "config", {"key": key, "old_value": old, "value": new})
        old_devices, new_devices = before.devices, after.devices
        changed = {name for name in old_devices.keys() & new_devices if old_devices[name] != new_devices[name]}
        replaced |= {name for name in changed if old_devices[name].get("type") != new_devices[name].get("type")}
        for name in sorted(old_devices.keys() - new_devices.keys() | changed & replaced):
            self._device(container, "removed", name, old_devices[name])
        for name in sorted(new_devices.keys() - old_devices.keys() | changed & replaced):
            self._device(container, "added", name, new_devices[name])
        for name in sorted(changed - replaced):
            self._device(container, "updated", name, new_devices[name])

    def _device(self, container: str, action: str, name: str, config: Mapping[str, str]) -> None:
        self._publish(container, "device", {"action": action, "config": dict(config), "name": name})

    def _publish(self, container: str, kind: str, metadata: Mapping[str, object]) -> None:
        listeners = [one for one in self._listeners.get(container, ()) if one.wants(kind, "")]
        if not listeners:
            return
        event = msgspec.json.encode(Event(type=kind, timestamp=now(), metadata=metadata), order="deterministic") + b"\n"
        for listener in listeners:
            if not listener.offer(event):
                self._listeners[container].discard(listener)
                listener.end()
