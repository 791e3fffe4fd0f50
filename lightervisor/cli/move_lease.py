"""A running instance held frozen while it is moved, such that it goes on when this client ends before its time."""

from __future__ import annotations

import threading

from lightervisor.cli.errors import CommandError
from lightervisor.client import light_operations
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_websocket import WebSocket

EXTENSION = "instance_freeze_lease"
_ALIVE_S = 10
_FREEZE, _UNFREEZE = ({"action": action, "timeout": -1} for action in ("freeze", "unfreeze"))


class Frozen:
    """One instance, frozen from now on. Raises what fails."""

    def __init__(self, session: Session, server: Server, name: str) -> None:
        self._session, self._server, self._path = session, server, url("instances", name, "state")
        self._lease: _Lease | None = None
        if server.has(EXTENSION):
            self._lease = _Lease(server, as_map(server.put(self._path, {**_FREEZE, "lease": True})["metadata"]))
        else:  # a real LXD: who is killed now leaves it frozen
            session.run(server, server.put(self._path, _FREEZE))

    def keep(self) -> None:
        """Have it stay frozen whatever becomes of this client. Raises ApiError when it goes on already."""
        if self._lease is not None:
            self._lease.keep()
            self._lease = None

    def let_go(self) -> None:
        """Have it go on."""
        if self._lease is None:
            self._session.run(self._server, self._server.put(self._path, _UNFREEZE))
        else:
            self._lease.end()


class _Lease:
    """An operation that ends, and thaws the instance, with the websocket; a thread tells that we are there still."""

    def __init__(self, server: Server, operation: dict[str, Any]) -> None:
        self._server, self._operation = server, operation
        self._over = threading.Event()
        identifier = light_operations.identifier(operation)
        secret = as_map(as_map(operation["metadata"])["fds"])["lease"]
        self._socket: WebSocket = server.websocket(url("operations", identifier, "websocket", secret=str(secret)))
        if self._socket.receive() is None:
            self._socket.close()
            light_operations.wait(server, operation)
            raise CommandError("The server ends the freezing without a word")
        self._alive = threading.Thread(target=self._tell, daemon=True)
        self._alive.start()

    def _tell(self) -> None:
        while self._socket.is_open and not self._over.wait(_ALIVE_S):
            try:
                self._socket.send_text("alive")
            except (OSError, ValueError):  # it was closed: `keep` says so, if anybody asks
                return

    def keep(self) -> None:
        self._quiet()
        self._socket.send_text("keep")
        try:
            light_operations.wait(self._server, self._operation)
        finally:
            self._socket.close()

    def end(self) -> None:
        self._quiet()
        self._socket.close()
        light_operations.wait_for_end(self._server, self._operation)

    def _quiet(self) -> None:
        self._over.set()
        self._alive.join()
