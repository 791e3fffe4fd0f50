"""Making a server as a preseed says; when a part fails the parts before it are taken back."""

from collections.abc import Callable, Mapping
from typing import Any

from lightervisor.client.light import ApiError, Server, url
from lightervisor.client.light_operations import wait
from lightervisor.daemon.preseed import Preseed
from lightervisor.errors import Conflict, Failure, Unsupported

Undo = Callable[[], Any]
KINDS = {
    "networks": ("networks", "network"),
    "storage_pools": ("storage-pools", "storage pool"),
    "profiles": ("profiles", "profile"),
    "projects": ("projects", "project"),
}


def apply(server: Server, preseed: Preseed) -> None:
    """Create what is missing and update what is there, in LXD's order. Raises Failure naming the part that failed."""
    undo: list[Undo] = []
    try:
        if preseed["config"]:
            undo.append(_named("Failed to update server configuration", lambda: _configure(server, preseed["config"])))
        for field, (segment, word) in KINDS.items():
            for entry in preseed[field]:
                undo.append(_create_or_update(server, segment, word, entry))
    except Failure as failure:
        for step in reversed(undo):
            _take_back(step, failure)
        raise


def _take_back(step: Undo, failure: Failure) -> None:
    try:
        step()
    except Failure as error:
        failure.add_note(f"could not be taken back: {error}")


def _named(prefix: str, work: Callable[[], Undo]) -> Undo:
    try:
        return work()
    except ApiError as error:
        raise Failure("preseed", text=f"{prefix}: {error}") from error


def _configure(server: Server, config: Mapping[str, Any]) -> Undo:
    before = server.get("/1.0")["config"]
    server.patch("/1.0", {"config": dict(config)})
    return lambda: server.put("/1.0", {"config": before})


def _create_or_update(server: Server, segment: str, word: str, wanted: Mapping[str, Any]) -> Undo:
    name, body = str(wanted["name"]), {key: value for key, value in wanted.items() if key != "project"}
    if wanted.get("project", "default") not in ("", "default"):
        raise Unsupported(word, name, cause=f"this server has no project {wanted['project']!r}")
    place = url(segment, name)
    if not server.exists(place) or not server.get(place).get("managed", True):
        return _named(f'Failed to create {word} "{name}"', lambda: _create(server, url(segment), place, body))
    return _named(f'Failed to update {word} "{name}"', lambda: _update(server, place, word, body))


def _create(server: Server, path: str, place: str, body: Mapping[str, Any]) -> Undo:
    _finish(server, server.post(path, body))
    return lambda: _finish(server, server.delete(place))


def _update(server: Server, place: str, word: str, wanted: Mapping[str, Any]) -> Undo:
    before = server.get(place)
    if wanted.get("driver") and wanted["driver"] != before["driver"]:
        text = f'Storage pool "{before["name"]}" is of type "{before["driver"]}" instead of "{wanted["driver"]}"'
        raise Conflict(word, before["name"], text=text)
    old = {key: before[key] for key in ("config", "description", "devices") if key in before}
    new = {**old, **{key: wanted[key] for key in old if wanted.get(key)}}
    for key in ("config", "devices"):
        if key in old:
            new[key] = {**old[key], **_settled(wanted.get(key) or {}, old[key])}
    if new == old:
        return lambda: None
    _finish(server, server.put(place, new))
    return lambda: _finish(server, server.put(place, old))


def _settled(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Without "auto" for what was chosen automatically before: a preseed that is applied again changes nothing."""
    return {key: value for key, value in wanted.items() if value != "auto" or not present.get(key)}


def _finish(server: Server, envelope: Mapping[str, Any]) -> None:
    if envelope["type"] == "async":
        wait(server, envelope["metadata"])
