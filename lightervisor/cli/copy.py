"""`lxc copy`, and the transfer that `lxc move` shares with it."""

from __future__ import annotations

from lightervisor.cli import launch, pairs
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

    Place = tuple[str, str]  # remote, name

_RUNNING = 103


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy an instance or a snapshot to a new instance."""
    source = session.parse(arguments[0])
    if not source[1]:
        raise CommandError("You must specify a source instance name")
    if len(arguments) > 1:
        remote, name = session.parse(arguments[1])
        name = name or source[1].partition("/")[0]
    else:
        remote, name = source[0], ""  # the server invents one
    there = session.server(remote).scoped_to(project=flags.text("target-project"))
    is_refreshed = bool(name) and flags.on("refresh") and there.exists(url("instances", name))
    operation = transfer(session, source, (remote, name), flags)
    if is_refreshed:
        from lightervisor.cli import copy_refresh

        server, path = session.server(source[0]), path_of(source[1])
        copy_refresh.follow(session, there, name, described(server, there, server.get(path), flags, is_move=False))
    if not name:
        session.say(f"Instance name is: {launch.created_name(operation)}")


def path_of(source: str) -> str:
    """The URL of an instance ("c1") or a snapshot ("c1/snap0")."""
    instance, _, snapshot = source.partition("/")
    return url("instances", instance, "snapshots", snapshot) if snapshot else url("instances", instance)


def transfer(session: Session, source: Place, target: Place, flags: Flags, *, is_move: bool = False) -> dict[str, Any]:
    """Create the target from the source and return the finished operation."""
    server = session.server(source[0])
    original: dict[str, Any] = server.get(path_of(source[1]))
    there = session.server(target[0])
    there = there.scoped_to(project=flags.text("target-project"), member=flags.text("target"))
    request = described(server, there, original, flags, is_move=is_move)
    request["name"] = target[1]
    if source[0] != target[0]:
        from lightervisor.cli.copy_between import Transfer

        how = wishes(original, flags)
        if how["live"] and not is_move:
            raise CommandError(
                "Unable to perform container live migration. What is in memory can be moved, not copied",
                "add --stateless: its files are copied as they are at this moment",
            )
        between = Transfer(session, server, path_of(source[1]), there, request)
        return between.run(mode_of(flags), how)
    request["source"] = {
        "type": "copy",
        "source": source[1],
        "instance_only": flags.on("instance-only"),
        "refresh": not is_move and flags.on("refresh"),
        "allow_inconsistent": flags.on("allow-inconsistent"),
        "live": False,
    }
    if there.project != server.project:
        request["source"]["project"] = server.project or "default"
    return session.run(there, there.post(url("instances"), request), "Transferring instance")


def mode_of(flags: Flags) -> str:
    """The way to go between servers, "" for whichever can be gone."""
    return flags.text("mode") if flags.given("mode") else ""


def wishes(original: dict[str, Any], flags: Flags) -> dict[str, Any]:
    """How it is to go. What is in memory can only come along from what runs."""
    is_live = not flags.on("stateless") and not flags.on("refresh") and original.get("status_code") == _RUNNING
    return {
        "live": is_live,
        "instance_only": flags.on("instance-only"),
        "refresh": flags.on("refresh"),
        "allow_inconsistent": flags.on("allow-inconsistent"),
    }


def described(
    server: Server, there: Server, original: dict[str, Any], flags: Flags, *, is_move: bool
) -> dict[str, Any]:
    """What the source is to become, by the flags; a move keeps what is volatile."""
    config: dict[str, str] = dict(as_map(original.get("config")))
    if not is_move:
        kept = ("volatile.base_image", "volatile.last_state.idmap", "volatile.idmap.base", "volatile.idmap.next")
        config = {k: v for k, v in config.items() if not k.startswith("volatile.") or k in kept}
    config.update(pairs.parse(flags.many("config")))
    profiles: list[str] = list(as_list(original.get("profiles")))
    if flags.on("no-profiles"):
        profiles = []
    elif flags.given("profile"):
        profiles = [name for name in flags.many("profile") if name]
    devices: dict[str, dict[str, str]] = {k: dict(v) for k, v in as_map(original.get("devices")).items()}
    overrides = pairs.devices(flags.many("device"))
    if flags.text("storage"):
        overrides.setdefault("root", {})["pool"] = flags.text("storage")
        if "root" not in devices:
            devices["root"] = {"type": "disk", "path": "/"}
    launch.override_devices(there if profiles else server, devices, overrides, profiles)
    return {
        "architecture": original.get("architecture", ""),
        "config": config,
        "devices": devices,
        "profiles": profiles,
        "description": original.get("description", ""),
        "ephemeral": bool(original.get("ephemeral")) if is_move else flags.on("ephemeral"),
        "stateful": bool(original.get("stateful")) and not flags.on("stateless"),
        "type": original.get("type", "container"),
    }
