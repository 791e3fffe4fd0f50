"""`lxc query`: one request to the API, as typed."""

from __future__ import annotations

import sys

from lightervisor.cli.errors import CommandError
from lightervisor.client import light_json
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Response

_FINAL, _FAILED = 200, 400


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Send the request and print what is answered: the metadata, with `--raw` the envelope, a file as it is."""
    if flags.given("project"):
        raise CommandError("--project cannot be used with the query command")
    server, path = _target(session, arguments[0])
    response = _ask(server, flags.text("request"), path, flags.text("data"))
    if "json" not in response.headers.get("content-type", ""):
        _refuse(response, path)
        _copy(response)
        return
    envelope = _envelope(response, path)
    if flags.on("wait") and envelope.get("type") == "async":
        envelope = _waited(server, envelope)
    shown = envelope if flags.on("raw") else envelope.get("metadata")
    if shown is not None and shown != {}:
        from lightervisor.cli import pretty_json

        session.write(pretty_json.dump(shown, sort=not flags.on("raw")) + "\n\n")


def _target(session: Session, raw: str) -> tuple[Server, str]:
    """A colon in the path itself (`/1.0/images?filter=a:b`) is no remote's."""
    server, path = (session.server(), raw) if raw.startswith("/") else session.resolve(raw)
    if not path.startswith("/"):
        raise CommandError("Query path must start with /")
    # The path says all there is to say: neither the chosen project nor a member is added.
    server.project = ""
    return server, path


def _ask(server: Server, method: str, path: str, data: str) -> Response:
    headers = {"Content-Type": "application/json"} if data else {}
    if data and server.trace:
        server.trace(f"Sending request to LXD {data}")
    return server.request(method, path, headers, data.encode("utf-8", "surrogateescape") if data else None)


def _refuse(response: Response, path: str) -> None:
    if response.status != 200:
        raise ApiError(f"Failed to fetch {path}: {response.status}", response.status)


def _copy(response: Response) -> None:
    sys.stdout.flush()
    for block in response.blocks():
        sys.stdout.buffer.write(block)


def _envelope(response: Response, path: str) -> dict[str, Any]:
    """LXD's envelope; its error, if it is one, is raised."""
    try:
        document: Any = light_json.loads(response.read())
    except ValueError:
        raise ApiError(f"Failed to fetch {path}: {response.status}", response.status) from None
    if not isinstance(document, dict) or "type" not in document:
        return {"metadata": document}
    envelope: dict[str, Any] = light_json.as_map(document)
    if envelope["type"] == "error":
        raise ApiError(str(envelope.get("error", "")), int(envelope.get("error_code") or response.status))
    return envelope


def _waited(server: Server, envelope: dict[str, Any]) -> dict[str, Any]:
    """The answer to `/wait`; raises the operation's own failure."""
    identity = str(as_map(envelope["metadata"]).get("id", ""))
    while True:
        envelope = server.call("GET", url("operations", identity, "wait"))
        operation = as_map(envelope["metadata"])
        if operation["status_code"] >= _FAILED:
            raise ApiError(str(operation.get("err") or operation["status"]), operation["status_code"])
        if operation["status_code"] >= _FINAL:
            return envelope
