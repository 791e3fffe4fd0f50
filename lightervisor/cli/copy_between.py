"""Instances from one server to another: the target pulls, the source pushes, or this client relays.

Source: LXD's client, pull, push and relay; each side has an operation, and both must come to a good end.
"""

from __future__ import annotations

from lightervisor.cli import copy_relay
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_operations
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

MODES = ("pull", "push", "relay")


class Transfer:
    """One instance or snapshot (`path` on `here`) to `there`; `request` creates it, but for its source."""

    LABEL, COLLECTION, FAILED = "Transferring instance", url("instances"), "Failed instance creation"

    def __init__(self, session: Session, here: Server, path: str, there: Server, request: dict[str, Any]) -> None:
        self._session, self._here, self._path, self._request = session, here, path, request
        self.there, self.name, self._collection = there, str(request["name"]), self.COLLECTION

    def run(self, mode: str, wishes: dict[str, Any]) -> dict[str, Any]:
        """Carry it out and return the target's finished operation.

        Without a mode the target pulls, or this client relays when it has no address to pull from. `wishes` are live,
        instance_only, refresh and allow_inconsistent.
        """
        mode = mode or ("pull" if self._addresses_of(self._here) else "relay")
        if mode not in MODES:
            raise CommandError(f'Invalid mode "{mode}"', "one of pull, push or relay")
        self._asked: dict[str, Any] = {"name": self._request["name"], "migration": True, **self._asks(wishes)}
        mode_there = "pull" if mode == "pull" else "push"
        self._source: dict[str, Any] = {"type": "migration", "mode": mode_there, **self._brings(wishes)}
        return {"pull": self._pull, "push": self._push, "relay": self._relay}[mode]()

    def _asks(self, wishes: dict[str, Any]) -> dict[str, Any]:
        """What is asked of the source."""
        asked = {key: wishes[key] for key in ("live", "instance_only", "allow_inconsistent")}
        return {**asked, "container_only": wishes["instance_only"]}

    def _brings(self, wishes: dict[str, Any]) -> dict[str, Any]:
        """What the target is told of the source."""
        base = as_map(self._request.get("config")).get("volatile.base_image", "")
        return {**self._asks(wishes), "refresh": wishes["refresh"], "base-image": base}

    def _pull(self) -> dict[str, Any]:
        sent = self._start(self._here, self._path, self._asked)
        certificate, failures = self._session.certificate_of(self._here), list[str]()
        for address in self._addresses(self._here, "source"):
            place = {
                "operation": f"{address}/1.0/operations/{light_operations.identifier(sent)}",
                "certificate": certificate,
                "secrets": _secrets(sent),
            }
            try:
                arrived = self._created({**self._source, **place})
            except ApiError as error:
                failures.append(f"{address}: {error.message()}")
                continue
            self._see_off(sent)
            return arrived
        _forget(self._here, sent)
        raise self._failed(failures)

    def _push(self) -> dict[str, Any]:
        failures: list[str] = []
        certificate = self._session.certificate_of(self.there)
        for address in self._addresses(self.there, "target"):
            awaiting = self._start(self.there, self._collection, {**self._request, "source": self._source})
            target = {
                "operation": f"{address}/1.0/operations/{light_operations.identifier(awaiting)}",
                "certificate": certificate,
                "secrets": _secrets(awaiting),
            }
            try:
                self._session.run(
                    self._here, self._here.post(self._path, {**self._asked, "target": target}), self.LABEL
                )
            except ApiError as error:
                failures.append(f"{address}: {error.message()}")
                _forget(self.there, awaiting)
                continue
            return light_operations.wait(self.there, awaiting)
        raise self._failed(failures)

    def _relay(self) -> dict[str, Any]:
        sent = self._start(self._here, self._path, self._asked)
        awaiting = self._start(self.there, self._collection, {**self._request, "source": self._source})
        try:
            ends = [(self._here, sent), (self.there, awaiting)]
            pairs = [tuple(self._socket(*end, name) for end in ends) for name in _secrets(sent)]
            copy_relay.relay(self._session, self.LABEL, pairs)
        except BaseException:
            _forget(self._here, sent)
            _forget(self.there, awaiting)
            raise
        self._see_off(sent)
        return light_operations.wait(self.there, awaiting)

    def _socket(self, server: Server, operation: dict[str, Any], name: str) -> Any:
        secret = _secrets(operation)[name]
        return server.websocket(url("operations", light_operations.identifier(operation), "websocket", secret=secret))

    def _start(self, server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return as_map(server.post(path, body)["metadata"])

    def _created(self, source: dict[str, Any]) -> dict[str, Any]:
        answer = self.there.post(self._collection, {**self._request, "source": source})
        return self._session.run(self.there, answer, self.LABEL)

    def _addresses(self, server: Server, which: str) -> list[str]:
        """Where the other server can reach this one."""
        found = self._addresses_of(server)
        if not found:
            text = f"The {which} server isn't listening on the network"
            raise CommandError(text, "use --mode relay, or set its core.https_address")
        return found

    def _addresses_of(self, server: Server) -> list[str]:
        """The remote's own address, then what it listens on."""
        settings = self._session.config.remote(server.name)
        own = str(settings.get("addr", "")).rstrip("/")
        listed = as_list(as_map(server.info().get("environment")).get("addresses"))
        found = [own] if own.startswith("https:") else []
        found += [f"https://{address}" for address in listed]
        return list(dict.fromkeys(found))

    def _failed(self, failures: list[str]) -> CommandError:
        if len(failures) == 1:
            return CommandError(f"{self.FAILED}: {failures[0]}")
        return CommandError(f"{self.FAILED}:" + "".join(f"\n - {one}" for one in failures))

    def _see_off(self, sent: dict[str, Any]) -> None:
        """The target has all: wait until the source knows."""
        try:
            light_operations.wait_for_end(self._here, sent)
        except ApiError:
            return  # it has ended and is forgotten


def _secrets(operation: dict[str, Any]) -> dict[str, str]:
    metadata = as_map(operation.get("metadata"))
    return {name: str(metadata[name]) for name in ("control", "fs", "criu") if name in metadata}


def _forget(server: Server, operation: dict[str, Any]) -> None:
    """End an operation that nothing will come of; LXD's ends by itself, ten seconds later."""
    try:
        light_operations.cancel(server, operation)
    except (ApiError, OSError):
        return
