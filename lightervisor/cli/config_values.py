"""`lxc config get`, `set`, `unset`, `show` and `edit`, for instances, snapshots and the server."""

from __future__ import annotations

from lightervisor.cli import editor, formats, pairs
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import Server, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_INSTANCE_FIELDS = ("architecture", "config", "devices", "ephemeral", "profiles", "stateful", "description")
_EXPIRES = "expires_at"
_INSTANCE_HELP = """\
### This is a YAML representation of the configuration.
### Any line starting with a '# will be ignored.
###
### A sample configuration looks like:
### name: instance1
### profiles:
### - default
### config:
###   volatile.eth0.hwaddr: 00:16:3e:e9:f8:7f
### devices:
###   homedir:
###     path: /extra
###     source: /home/user
###     type: disk
### ephemeral: false
###
### Note that the name is shown but cannot be changed
"""
_SERVER_HELP = """\
### This is a YAML representation of the configuration.
### Any line starting with a '# will be ignored.
###
### A sample configuration looks like:
### config:
###   core.https_address: '[::]:8443'

"""


def writable(instance: dict[str, Any], *, expanded: bool = False) -> dict[str, Any]:
    """The fields of an instance that can be changed, in LXD's order."""
    shown = {field: instance.get(field) for field in _INSTANCE_FIELDS}
    if expanded:
        shown["config"], shown["devices"] = instance.get("expanded_config"), instance.get("expanded_devices")
    return shown


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the value of one key; an unset one is an empty line."""
    key = arguments[-1]
    server, name = _place(session, arguments[:-1], flags)
    if not name:
        print(_text(as_map(server.get("/1.0").get("config")).get(key, "")))
        return
    instance, slash, snapshot = name.partition("/")
    if slash:
        found = server.get(url("instances", instance, "snapshots", snapshot))
        if key == _EXPIRES:
            print(found.get(key, ""))
            return
    else:
        found = server.get(url("instances", instance))
    config = as_map(found.get("expanded_config" if flags.on("expanded") else "config"))
    print(_text(config.get(key, "")))


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Set keys: `key=value …` or LXD 2.0's `key value`, of an instance or, without one, of the server."""
    place, rest = _split(session, arguments)
    server, name = _place(session, place, flags)
    if not rest:
        raise CommandError("Invalid number of arguments")
    change(server, name, pairs.parse_old_or_new(rest))


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a key."""
    server, name = _place(session, arguments[:-1], flags)
    change(server, name, {arguments[-1]: None})


def change(server: Server, name: str, values: Mapping[str, str | None]) -> None:
    """Set (or with None remove) keys of an instance, a snapshot or, with an empty name, of the server."""
    if not name:
        info, etag = server.fetch("/1.0")
        config = dict(as_map(info.get("config")))
        _merge(config, values, is_server=True)
        server.put("/1.0", {"config": config}, etag)
        return
    instance, slash, snapshot = name.partition("/")
    if slash:
        _change_snapshot(server, url("instances", instance, "snapshots", snapshot), values)
        return
    path = url("instances", instance)
    found, etag = server.fetch(path)
    config = dict(as_map(found.get("config")))
    _merge(config, values)
    finish(server, server.put(path, {**writable(found), "config": config}, etag))


def _merge(config: dict[str, Any], values: Mapping[str, str | None], *, is_server: bool = False) -> None:
    for key, value in values.items():
        if value is not None or is_server:
            config[key] = value or ""  # the server knows which keys it has, set or not
        elif key in config:
            del config[key]
        else:
            raise CommandError(f"Can't unset key '{key}', it's not currently set")


def _change_snapshot(server: Server, path: str, values: Mapping[str, str | None]) -> None:
    if list(values) != [_EXPIRES]:
        raise CommandError("The only config key that can be set on a snapshot is 'expires_at'")
    value = values[_EXPIRES] or "0001-01-01T00:00:00Z"
    finish(server, server.put(path, {_EXPIRES: value}))


def finish(server: Server, envelope: dict[str, Any]) -> None:
    """Wait for an answer's operation, if it has one."""
    from lightervisor.client import light_operations

    if envelope.get("type") == "async":
        light_operations.wait(server, envelope["metadata"])


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the configuration as YAML."""
    server, name = _place(session, arguments, flags)
    session.write(formats.yaml(_shown(server, name, expanded=flags.on("expanded"))))


def _shown(server: Server, name: str, *, expanded: bool = False) -> dict[str, Any]:
    if not name:
        return {"config": server.get("/1.0").get("config")}
    instance, slash, snapshot = name.partition("/")
    if slash:
        return server.get(url("instances", instance, "snapshots", snapshot))
    return writable(server.get(url("instances", instance)), expanded=expanded)


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change the configuration as YAML."""
    server, name = _place(session, arguments, flags)
    instance, slash, snapshot = name.partition("/")
    if not name:
        path, help_text, fields = "/1.0", _SERVER_HELP, ("config",)
    elif slash:
        path, help_text = url("instances", instance, "snapshots", snapshot), ""
        fields = (_EXPIRES,)
    else:
        path, help_text, fields = url("instances", name), _INSTANCE_HELP, _INSTANCE_FIELDS
    etag, text = "", ""
    if session.has_terminal():
        found, etag = server.fetch(path)
        if fields is _INSTANCE_FIELDS:
            from lightervisor.cli import key_comments

            help_text += key_comments.comments(server) + "\n"
        text = help_text + formats.yaml({field: found.get(field) for field in fields})
    editor.edit(session, text, lambda content: _put(server, path, content, etag))


def _put(server: Server, path: str, content: str, etag: str) -> None:
    from lightervisor.cli import yaml_reader

    finish(server, server.put(path, yaml_reader.load_mapping(content), etag))


def _split(session: Session, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The instance, if one is named, and the pairs: an instance stands before `key=value` or `key value`."""
    first = arguments[0]
    if "=" in first or (first.endswith(":") and len(arguments) == 1):
        return [], list(arguments)
    if len(arguments) == 1:
        raise CommandError("Invalid number of arguments")
    if len(arguments) == 2 and "=" not in arguments[1]:
        return [], list(arguments)
    if len(arguments) == 2 and _is_server_key(session, first):
        return [], list(arguments)
    return [first], list(arguments[1:])


def _is_server_key(session: Session, text: str) -> bool:
    """`core.x a=b` is a server's key whose value has an equals sign; no instance's name has a dot."""
    return "." in text and session.parse(text)[1] == text


def _place(session: Session, names: Sequence[str], flags: Flags) -> tuple[Server, str]:
    return session.resolve(names[0] if names else "", member=flags.text("target"))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
