"""The document that sets a server up: `lxd init --preseed` reads one, the other ways of `lxd init` make one.

Source: LXD, preseed; field order as `lxd init --dump` has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lightervisor.client.light import Server, url
from lightervisor.errors import Invalid, Unsupported

Preseed = dict[str, Any]
FIELDS = {
    "networks": ("config", "description", "name", "type", "project"),
    "storage_pools": ("config", "description", "name", "driver"),
    "profiles": ("config", "description", "devices", "name"),
    "projects": ("config", "description", "name"),
}
MAPPINGS = ("config", "devices")
EMPTY = (None, "", "~", "null")


def blank() -> Preseed:
    """A document that asks for nothing."""
    return {"config": {}, **{kind: [] for kind in FIELDS}}


def parse(text: str) -> Preseed:
    """A preseed from YAML, strictly: Invalid for what is not one and for any unknown key.

    Every value stays the text it was written as, as the server's configuration holds texts.
    """
    import yaml

    try:
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and mappings only
    except yaml.YAMLError as error:
        raise _refused(str(error)) from error
    if document in EMPTY:
        return blank()
    if not isinstance(document, dict):
        raise _refused("it is not a mapping")
    return _checked(cast("Mapping[str, Any]", document))


def _checked(document: Mapping[str, Any]) -> Preseed:
    known = ("config", *FIELDS, "cluster")
    for field in document:
        if field not in known:
            raise _refused(f"unknown field {field!r}; known are {', '.join(known)}")
    if document.get("cluster") not in (*EMPTY, {}):
        raise Unsupported("preseed", "cluster", cause="this server does not offer clustering yet")
    preseed = blank()
    preseed["config"] = _mapping("config", document.get("config"))
    for kind, fields in FIELDS.items():
        entries = document.get(kind)
        if entries in EMPTY:
            continue
        if not isinstance(entries, list):
            raise _refused(f"{kind} is not a list")
        preseed[kind] = [_entry(kind, fields, entry) for entry in cast("list[object]", entries)]
    return preseed


def _entry(kind: str, fields: Sequence[str], entry: object) -> dict[str, Any]:
    values = _mapping(kind, entry)
    for field, value in values.items():
        if field not in fields:
            raise _refused(f"unknown field {field!r} in {kind}; known are {', '.join(fields)}")
        if field not in MAPPINGS and not isinstance(value, str):
            raise _refused(f"{field} in {kind} is not a text")
    if not values.get("name"):
        raise _refused(f"an entry of {kind} has no name")
    found: dict[str, Any] = {field: values[field] for field in fields if field in values}
    for field in MAPPINGS:
        if field in found:
            found[field] = _mapping(f"{field} in {kind}", found[field])
    for device, options in found.get("devices", {}).items():
        found["devices"][device] = _texts(f"device {device}", options)
    if "config" in found:
        _texts(f"config in {kind}", found["config"])
    return found


def _mapping(what: str, value: object) -> dict[str, Any]:
    if value is None or (isinstance(value, str) and value in EMPTY):
        return {}
    if not isinstance(value, dict):
        raise _refused(f"{what} is not a mapping")
    return {str(key): one for key, one in cast("dict[object, Any]", value).items()}


def _texts(what: str, value: object) -> dict[str, str]:
    found = _mapping(what, value)
    for key, one in found.items():
        if not isinstance(one, str):
            raise _refused(f"{key} of {what} is not a text")
    return found


def _refused(cause: str) -> Invalid:
    return Invalid("preseed", text=f"Failed to parse the preseed: {cause}", remedy="lxd init --dump shows one")


def of_server(server: Server) -> Preseed:
    """The server's present set-up as a preseed."""
    networks = [{**one, "project": "default"} for one in server.get(url("networks", recursion=1)) if one["managed"]]
    return {
        "config": server.get("/1.0")["config"],
        "networks": _picked("networks", networks),
        "storage_pools": _picked("storage_pools", server.get(url("storage-pools", recursion=1))),
        "profiles": _picked("profiles", server.get(url("profiles", recursion=1))),
        "projects": _picked("projects", server.get(url("projects", recursion=1))),
    }


def _picked(kind: str, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{field: one[field] for field in FIELDS[kind]} for one in objects]


def to_yaml(preseed: Mapping[str, Any]) -> str:
    """The document as text."""
    import yaml

    return yaml.safe_dump(dict(preseed), sort_keys=False, allow_unicode=True)
