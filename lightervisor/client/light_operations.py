"""Waiting for background work: the plain way (`/wait`) and, where progress is shown, through the events websocket."""

from __future__ import annotations

from lightervisor.client import light_json
from lightervisor.client.light import ApiError, Server, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FINAL = 200


def identifier(operation: dict[str, Any]) -> str:
    """The id of an operation object."""
    return str(operation["id"])


def wait(server: Server, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait until the operation is final and return it; its failure is raised as ApiError."""
    return check(wait_for_end(server, operation))


def wait_for_end(server: Server, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait until the operation is final and return it, failed or not."""
    while operation["status_code"] < _FINAL:
        operation = server.get(url("operations", identifier(operation), "wait", timeout=-1))
    return operation


def watch(server: Server, operation: dict[str, Any], show: Callable[[str], None]) -> dict[str, Any]:
    """As `wait`, calling `show` with the text of each metadata key that ends in `_progress`.

    The events are subscribed to first and the operation is read after that, so that its end cannot be missed.
    """
    events = server.websocket(url("events", type="operation"))
    try:
        operation = server.get(url("operations", identifier(operation)))
        while operation["status_code"] < _FINAL:
            show(progress(operation))
            message = events.receive()
            if message is None:
                return wait(server, operation)
            event = light_json.loads(message[1])["metadata"]
            if event.get("id") == identifier(operation):
                operation = event
    finally:
        events.close()
    return check(operation)


def progress(operation: dict[str, Any]) -> str:
    """What an operation tells of its progress, if anything."""
    metadata: dict[str, Any] = operation.get("metadata") or {}
    for key, value in metadata.items():
        if key.endswith("_progress"):
            return str(value)
    return ""


def cancel(server: Server, operation: dict[str, Any]) -> None:
    """Ask the server to cancel it."""
    server.delete(url("operations", identifier(operation)))


def check(operation: dict[str, Any]) -> dict[str, Any]:
    """The operation if it succeeded; else raise what it says."""
    if operation["status_code"] >= 400:
        raise ApiError(str(operation.get("err") or operation.get("status")), int(operation["status_code"]))
    return operation
