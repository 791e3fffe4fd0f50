"""What a guest may know of its own instance, and say about itself.

Source: LXD, communication between instance and host.
"""

from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Forbidden, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances.catalog import READY, Catalog, is_ready
from lightervisor.instances.guest_events import GuestEvents

READABLE = ("user.", "cloud-init.")
STATES = ("Started", "Ready")


class Guests:
    """The verbs of the guest API; the caller is known, and has its instance's project and name."""

    def __init__(self, rows: InstanceRows, catalog: Catalog, events: Events, guest_events: GuestEvents) -> None:
        self._rows, self._catalog, self._events = rows, catalog, events
        self.events = guest_events

    def check_offered(self, project: str, name: str) -> None:
        """Raise Forbidden when the instance is not to have the guest API."""
        if not is_true(self._config(project, name).get("security.devlxd") or "true"):
            raise _not_authorized("security.devlxd")

    def check_images(self, project: str, name: str) -> None:
        """Raise Forbidden unless the instance may have the host's images."""
        if not is_true(self._config(project, name).get("security.devlxd.images")):
            raise _not_authorized("security.devlxd.images")

    def keys(self, project: str, name: str) -> list[str]:
        """The names of the keys that it may read."""
        return sorted(key for key in self._config(project, name) if key.startswith(READABLE))

    def value(self, project: str, name: str, key: str) -> str:
        """The value of a key. Raises Forbidden for one that it may not read, NotFound for one that is not set."""
        if not key.startswith(READABLE):
            raise _not_authorized(key)
        found = self._config(project, name).get(key)
        if found is None:
            raise NotFound("configuration key", key, text="not found")
        return found

    def devices(self, project: str, name: str) -> dict[str, dict[str, str]]:
        """Its devices; those of type nic with the address that they have."""
        row = self._rows.get(project, name)
        expanded = self._catalog.expand(row)
        return {device: {**options, **_address(row, device, options)} for device, options in expanded.devices.items()}

    def meta_data(self, project: str, name: str) -> str:
        """What cloud-init wants to know, with `user.meta-data` at its end."""
        row = self._rows.get(project, name)
        more = self._catalog.expand(row).config.get("user.meta-data", "")
        identity = row.config.get("volatile.cloud-init.instance-id", "")
        return f"#cloud-config\ninstance-id: {identity}\nlocal-hostname: {name}\n{more}"

    def state(self, project: str, name: str) -> str:
        """What it has said about itself since it was started: Started, or Ready."""
        return "Ready" if is_ready(self._rows.get(project, name)) else "Started"

    async def set_state(self, project: str, name: str, state: str) -> None:
        """The guest says that it is ready, or not any more. Raises Invalid for anything else."""
        if state not in STATES:
            raise Invalid("state", state, text="Invalid state")
        if state == self.state(project, name):
            return
        await self._rows.merge_config(project, name, {READY: "true" if state == "Ready" else "false"})
        if state == "Ready":
            self._events.happened("instance", "ready", name, project)

    def _config(self, project: str, name: str) -> dict[str, str]:
        return self._catalog.expand(self._rows.get(project, name)).config


def _not_authorized(what: str) -> Forbidden:
    return Forbidden("guest API", what, text="not authorized")


def _address(row: InstanceRow, device: str, options: dict[str, str]) -> dict[str, str]:
    address = row.config.get(f"volatile.{device}.hwaddr", "")
    return {"hwaddr": address} if options.get("type") == "nic" and address and not options.get("hwaddr") else {}
