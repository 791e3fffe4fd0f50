"""`lxc profile`: profiles, and which of them an instance has. Their devices are in `profile_device`."""

from __future__ import annotations

from lightervisor.cli import config_values, configured, formats
from lightervisor.cli.configured import Configured, Kind
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_HINT = """\
### This is a YAML representation of the profile.
### Any line starting with a '# will be ignored.
###
### A profile consists of a set of configuration items followed by a set of
### devices.
###
### An example would look like:
### name: onenic
### config:
###   raw.lxc: lxc.aa_profile=unconfined
### devices:
###   eth0:
###     nictype: bridged
###     parent: lxdbr0
###     type: nic
###
### Note that the name is shown but cannot be changed
"""
_FIELDS = ("config", "description", "devices")


def _keys(server: Server) -> str:
    from lightervisor.cli import key_comments

    return key_comments.comments(server)


KIND = Kind("profiles", "profile", _FIELDS, _HINT, _keys)


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the profiles of a server."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    found: list[dict[str, Any]] = server.get(url("profiles", recursion=1))
    rows = [[p["name"], p["description"], str(len(as_list(p.get("used_by"))))] for p in found]
    session.write(formats.render(form, ("NAME", "DESCRIPTION", "USED BY"), formats.sort_rows(rows), found))


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create an empty profile."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    server.post(url("profiles"), {"name": name, "description": "", "config": {}, "devices": {}})
    session.say(f"Profile {name} created")


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete a profile that nobody uses."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    server.delete(url("profiles", name))
    session.say(f"Profile {name} deleted")


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give a profile another name on its server."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    server.post(url("profiles", name), {"name": arguments[1]})
    session.say(f"Profile {name} renamed to {arguments[1]}")


def copy(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy a profile, to another server or project too; without a name the copy has the source's."""
    server, name = session.resolve(arguments[0])
    if not name:
        raise CommandError("Missing source profile name")
    there, new = session.resolve(arguments[1])
    if flags.text("target-project"):
        there = there.scoped_to(project=flags.text("target-project"))
    found = server.get(url("profiles", name))
    there.post(url("profiles"), {"name": new or name, **{field: found.get(field) for field in _FIELDS}})


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a profile as YAML."""
    _ = flags
    session.write(formats.yaml(Configured(session, KIND, arguments[0]).found))


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the value of a key; an unset one is an empty line."""
    _ = flags
    print(Configured(session, KIND, arguments[0]).config.get(arguments[1], ""))


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change keys."""
    _ = flags
    Configured(session, KIND, arguments[0]).set(arguments[1:])


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a key."""
    _ = flags
    Configured(session, KIND, arguments[0]).unset(arguments[1])


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a profile as YAML."""
    _ = flags
    configured.edit(session, KIND, arguments[0])


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Let an instance use one more profile; the last one wins."""
    _ = flags
    name = _change(session, arguments[0], lambda used: [*used, arguments[1]])
    session.say(f"Profile {arguments[1]} added to {name}")


def assign(session: Session, arguments: list[str], flags: Flags) -> None:
    """Let an instance use these profiles (separated by commas) and no others."""
    _ = flags
    wanted = arguments[1].split(",") if arguments[1] else []
    name = _change(session, arguments[0], lambda _: wanted)
    session.say(f"Profiles {arguments[1] or '(none)'} applied to {name}")


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a profile away from an instance."""
    _ = flags
    profile = arguments[1]

    def without(used: list[str], name: str) -> list[str]:
        if profile not in used:
            raise CommandError(f"Profile {profile} isn't currently applied to {name}")
        return [other for other in used if other != profile]

    _, instance = session.parse(arguments[0])
    name = _change(session, arguments[0], lambda used: without(used, instance))
    session.say(f"Profile {profile} removed from {name}")


def _change(session: Session, raw: str, decide: Callable[[list[str]], list[str]]) -> str:
    """Replace the profiles of an instance and return its name."""
    server, name = session.resolve_name(raw)
    path = url("instances", name)
    found, etag = server.fetch(path)
    profiles = decide([str(used) for used in as_list(found.get("profiles"))])
    session.run(server, server.put(path, {**config_values.writable(found), "profiles": profiles}, etag))
    return name
