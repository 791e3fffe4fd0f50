"""The guest API's part in the life of an instance: its socket comes with a start and goes with the end.

`security.devlxd` takes effect at once: the directory with the socket is mounted into the running container, or taken
away. Source: LXD, communication between instance and host.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from lightervisor.config.merge import Expanded
from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import HostError
from lightervisor.instances.guest_events import GuestEvents
from lightervisor.instances.guest_sockets import FindGuest, GuestSockets
from lightervisor.kernel import guest_mounts, mounts
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.threads import in_thread

PLACE = "dev/lxd"


class GuestApi:
    """Follows what instances do."""

    def __init__(self, sockets: GuestSockets, events: GuestEvents) -> None:
        self.sockets, self.events = sockets, events

    def prepare(self, row: InstanceRow, config: Mapping[str, str], find: FindGuest) -> Path | None:
        """An instance is to start: the directory that it gets as /dev/lxd, None when it is to have none.

        `find(container)` says later who is its init. Raises HostError.
        """
        if not is_offered(config):
            return None
        try:
            return self.sockets.prepare(row.project, row.name, find)
        except OSError as error:
            raise HostError("guest API", row.name, cause=f"no socket can be made: {error.strerror}") from error

    def open(self, row: InstanceRow) -> None:
        """It runs: who connected meanwhile is let in."""
        self.sockets.open(row.project, row.name)

    def remove(self, row: InstanceRow) -> None:
        """It has ended. May be called twice."""
        self.sockets.remove(row.project, row.name)

    async def follow(
        self, row: InstanceRow, before: Mapping[str, str], after: Mapping[str, str], guest: Guest, find: FindGuest
    ) -> None:
        """Give a running instance its socket, or take it away, when `security.devlxd` changes. Raises HostError."""
        if is_offered(before) == is_offered(after):
            return
        directory = self.prepare(row, after, find)
        try:
            if directory is not None:
                await in_thread(_attach, guest, directory)
                self.open(row)
            else:
                await in_thread(_detach, guest)
                self.remove(row)
        except OSError as error:
            raise HostError("guest API", row.name, cause=f"/{PLACE} cannot be changed: {error.strerror}") from error

    def tell(self, row: InstanceRow, before: Expanded, after: Expanded, replaced: frozenset[str]) -> None:
        """Tell those who listen inside what has changed; `replaced` are devices that were taken away and put back."""
        self.events.changed(row.project, row.name, before, after, replaced)


def is_offered(config: Mapping[str, str]) -> bool:
    """Whether an instance with this configuration has the guest API."""
    return is_true(config.get("security.devlxd") or "true")


def _detach(guest: Guest) -> None:
    guest_mounts.detach(guest, PLACE, remove=True)


def _attach(guest: Guest, directory: Path) -> None:
    tree = mounts.detached(directory, readonly=True)
    try:
        guest_mounts.detach(guest, PLACE)
        guest_mounts.attach(guest, tree, PLACE, is_file=False)
    finally:
        os.close(tree)
