"""`lxc rename` and `lxc move`."""

from __future__ import annotations

from contextlib import contextmanager

from lightervisor.cli import copy
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_STOPPED, _RUNNING = 102, 103
_MEMORY_TRAVELS = "instance_snapshot_memory"
_REWRITES = ("config", "device", "profile", "no-profiles", "instance-only", "storage", "target-project", "target")


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an instance or a snapshot another name on its server."""
    _ = flags
    remote, old = session.parse(arguments[0])
    if ":" in arguments[1]:
        other, new = session.parse(arguments[1])
        if other != remote:
            raise CommandError("Can't specify a different remote for rename")
    else:
        new = arguments[1]
    _rename(session, session.server(remote), old, new)


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Move an instance: a rename on one server; a copy and a delete otherwise."""
    remote, old = session.parse(arguments[0])
    target = arguments[1] if len(arguments) > 1 else ""
    other, new = session.parse(_as_remote(session, remote, target)) if target else (remote, "")
    server = session.server(remote)
    rewrites = any(flags.given(flag) for flag in _REWRITES)
    if not target and not rewrites:
        raise WrongArguments
    if remote == other and not rewrites:
        _rename(session, server, old, new)
        return
    if "/" in old:
        raise CommandError("Moving a snapshot to another server or pool isn't possible", "copy it instead")
    if remote == other and _moves_in_place(flags):
        _relocate(session, server, old, new or old, flags)
        return
    if remote == other and not flags.given("target-project") and not flags.given("target"):
        with _reconfigured(session, server, old, flags):
            if flags.given("storage"):
                _relocate(session, server, old, new or old, flags)
            elif new and new != old:
                _rename(session, server, old, new)
        return
    if remote != other and _moved_anew(session, server, old, (other, new or old), flags):
        return
    copy.transfer(session, (remote, old), (other, new or old), flags, is_move=True)
    session.run(server, server.delete(url("instances", old)))


def _moved_anew(session: Session, server: Server, old: str, target: tuple[str, str], flags: Flags) -> bool:
    """Whether a running instance was moved without its memory. Raises CommandError for memory that would be lost."""
    original: dict[str, Any] = server.get(url("instances", old))
    if not flags.on("stateless"):
        if original.get("stateful"):
            raise CommandError(
                f"{old} is stopped with what it has in memory, which would not come along",
                f"lxc start {old} and move it as it runs, or --stateless",
            )
        if not flags.on("instance-only"):
            _check_snapshots(server, session.server(target[0]), old)
        return False
    if original.get("status_code") != _RUNNING:
        return False
    _move_running(session, server, original, target, flags)
    return True


def _check_snapshots(server: Server, there: Server, name: str) -> None:
    """Raise CommandError for snapshots whose memory does not travel between these servers: with LXD it does not."""
    if server.has(_MEMORY_TRAVELS) and there.has(_MEMORY_TRAVELS):
        return
    for one in as_list(server.get(f"{url('instances', name, 'snapshots')}?recursion=1")):
        if one.get("stateful"):
            snapshot = str(one["name"]).rpartition("/")[2]
            raise CommandError(
                f"What snapshot {snapshot} has in memory would not come along: one of both servers does not move it",
                f"lxc delete {name}/{snapshot}, or --stateless",
            )


def _move_running(
    session: Session, server: Server, original: dict[str, Any], target: tuple[str, str], flags: Flags
) -> None:
    from lightervisor.cli import move_running
    from lightervisor.cli.copy_between import Transfer

    name, there = str(original["name"]), session.server(target[0])
    there = there.scoped_to(project=flags.text("target-project"), member=flags.text("target"))
    request = {**copy.described(server, there, original, flags, is_move=True), "name": target[1]}
    transfer = Transfer(session, server, url("instances", name), there, request)
    move_running.run(session, server, name, transfer, copy.mode_of(flags), copy.wishes(original, flags))


def _as_remote(session: Session, remote: str, target: str) -> str:
    """LXD 2.0's `lxc move foo:c1 local`: a bare remote's name is the remote, unless the instance is there already."""
    if ":" not in target and target in session.config.remotes and target != remote:
        return f"{target}:"
    return target


@contextmanager
def _reconfigured(session: Session, server: Server, name: str, flags: Flags) -> Generator[None, None, None]:
    """The instance with another configuration, which it keeps when the move succeeds.

    LXD's client copies and deletes for that, and refuses it on one server when the name stays.
    """
    original: dict[str, Any] = server.get(url("instances", name))
    if original.get("status_code") != _STOPPED:
        raise CommandError("Only a stopped instance is moved with another configuration", f"lxc stop {name}")
    wanted = copy.described(server, server, original, flags, is_move=True)
    for device, options in as_map(original.get("devices")).items():
        if flags.given("storage") and options.get("path") == "/":
            wanted["devices"][device]["pool"] = options.get("pool", "")  # it is moved there afterwards
    if flags.given("storage") and "root" not in as_map(original.get("devices")):
        wanted["devices"].pop("root", None)
    session.run(server, server.put(url("instances", name), wanted))
    try:
        yield
    except BaseException:
        session.run(server, server.put(url("instances", name), original))
        raise


def _moves_in_place(flags: Flags) -> bool:
    only_place = flags.given("storage") or flags.given("target-project") or flags.given("target")
    return only_place and not any(flags.given(f) for f in ("config", "device", "profile", "no-profiles"))


def _relocate(session: Session, server: Server, old: str, new: str, flags: Flags) -> None:
    request: dict[str, Any] = {"name": new, "migration": True, "live": False}
    request["instance_only"] = flags.on("instance-only")
    if flags.given("storage"):
        request["pool"] = flags.text("storage")
    if flags.given("target-project"):
        request["project"] = flags.text("target-project")
    there = server.scoped_to(member=flags.text("target"))
    session.run(server, there.post(url("instances", old), request), "Transferring instance")


def _rename(session: Session, server: Server, old: str, new: str) -> None:
    instance, slash, snapshot = old.partition("/")
    if not slash:
        if "/" in new:
            raise CommandError("Invalid new snapshot name, parent must be the same as source")
        session.run(server, server.post(url("instances", old), {"name": new}))
        return
    parent, has_parent, name = new.partition("/")
    if not has_parent or parent != instance:
        raise CommandError("Invalid new snapshot name, parent must be the same as source")
    session.run(server, server.post(url("instances", instance, "snapshots", snapshot), {"name": name}))
