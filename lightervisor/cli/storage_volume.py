"""`lxc storage volume`: what lies in storage pools. Attaching custom volumes is in `storage_volume_attach`."""

from __future__ import annotations

from lightervisor.cli import configured, formats, pairs, units
from lightervisor.cli.configured import Configured, Kind
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_HINT = """\
### This is a YAML representation of a storage volume.
### Any line starting with a '# will be ignored.
###
### A storage volume consists of a set of configuration items.
###
### name: vol1
### type: custom
### used_by: []
### config:
###   size: "61203283968"
"""
_SNAPSHOT_HINT = """\
### This is a YAML representation of a storage volume snapshot.
### Any line starting with a '# will be ignored.
###
### A storage volume snapshot has a description and a moment at which it expires.
###
### description: before the upgrade
### expires_at: 2030-01-01T00:00:00Z
"""
_OF_VOLUMES = (("config", "description"), _HINT)
_TYPES = ("custom", "image", "container", "virtual-machine")
_COLUMNS = {
    "e": ("PROJECT", "project"),
    "t": ("TYPE", "type"),
    "n": ("NAME", "name"),
    "d": ("DESCRIPTION", "description"),
    "c": ("CONTENT-TYPE", "content_type"),
    "u": ("USED BY", "used_by"),
    "L": ("LOCATION", "location"),
    "U": ("USAGE", "usage"),
}


class Volumes(Kind):
    """The volumes of one type in one pool; of custom ones also the snapshots."""

    def __init__(self, pool: str, type: str, *, of_snapshots: bool = False) -> None:
        fields, hint = (("description", "expires_at"), _SNAPSHOT_HINT) if of_snapshots else _OF_VOLUMES
        super().__init__("", "volume", fields, hint)
        self.pool, self.type, self.of_snapshots = pool, type, of_snapshots

    def path(self, name: str) -> str:
        """Where a volume is in the API, or the snapshot of one."""
        volume, slash, snapshot = name.partition("/")
        below = ("snapshots", snapshot) if slash else ()
        return url("storage-pools", self.pool, "volumes", self.type, volume, *below)

    def check_config(self) -> None:
        """Raise CommandError for snapshots, whose configuration stays."""
        if self.of_snapshots:
            raise CommandError("Snapshots are read-only and can't have their configuration changed")


def place(session: Session, pool: str, volume: str) -> tuple[Volumes, str]:
    """What `[remote:]pool [type/]volume` means: the kind, and `remote:volume`. Raises CommandError without a pool."""
    remote, name = session.parse(pool)
    if not name:
        raise CommandError("Missing pool name")
    type, slash, rest = volume.partition("/")
    if not slash or type not in _TYPES:
        type, rest = "custom", volume
    return Volumes(name, type, of_snapshots=type == "custom" and "/" in rest), f"{remote}:{rest}"


def _configured(session: Session, arguments: list[str], flags: Flags) -> Configured:
    kind, raw = place(session, arguments[0], arguments[1])
    return Configured(session, kind, raw, flags.text("target"))


def _named(session: Session, arguments: list[str]) -> tuple[Server, Volumes, str]:
    kind, raw = place(session, arguments[0], arguments[1])
    server, name = kind.place(session, raw)
    return server, kind, name


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List what lies in a pool."""
    form, layout, everywhere = flags.text("format"), flags.text("columns"), flags.on("all-projects")
    formats.check(form)
    server, pool = session.resolve(arguments[0])
    if not pool:
        raise CommandError("Missing pool name")
    query = {"recursion": 1, **({"all-projects": "true"} if everywhere else {})}
    if filters := _filter(arguments[1:]):
        query["filter"] = filters
    columns = _columns(layout, is_clustered=server.is_clustered(), everywhere=everywhere)
    found: list[dict[str, Any]] = server.get(url("storage-pools", pool, "volumes", **query))
    if "USAGE" in [header for header, _ in columns]:
        for one in found:
            one["usage"] = _usage(server, pool, one)
    rows = [[_cell(one, field) for _, field in columns] for one in found]
    session.write(formats.render(form, [header for header, _ in columns], formats.sort_rows(rows), found))


def _columns(layout: str, *, is_clustered: bool, everywhere: bool) -> list[tuple[str, str]]:
    letters = layout.replace(",", "")
    if unknown := [letter for letter in letters if letter not in _COLUMNS]:
        raise CommandError(f"Unknown column shorthand char '{unknown[0]}' in '{layout}'")
    if not is_clustered and "L" in letters:
        if layout != "etndcuL":
            raise CommandError("Can't specify column L when not clustered")
        letters = letters.replace("L", "")
    if layout == "etndcuL" and not everywhere:
        letters = letters.replace("e", "")
    return [_COLUMNS[letter] for letter in letters]


def _cell(one: dict[str, Any], field: str) -> str:
    if field == "type" and "/" in str(one["name"]):
        return f"{one['type']} (snapshot)"
    if field == "used_by":
        return str(len(as_list(one.get("used_by"))))
    return str(one.get(field, ""))


def _usage(server: Server, pool: str, one: dict[str, Any]) -> str:
    from lightervisor.client.light import ApiError

    try:
        state = server.get(url("storage-pools", pool, "volumes", one["type"], one["name"], "state"))
    except ApiError:  # images have none
        return ""
    return units.iec(int(as_map(as_map(state).get("usage")).get("used", 0)))


def _filter(words: list[str]) -> str:
    """`key=value` becomes a clause, a bare word the beginning of a name."""
    clauses: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        clauses.append(f"{key} eq {value}" if equals else f"name eq {word}.*")
    return " and ".join(clauses)


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create a custom volume."""
    server, kind, name = _named(session, arguments)
    config = pairs.parse(arguments[2:], "Bad key=value pair: {}")
    request = {
        "name": name, "type": kind.type, "content_type": flags.text("type"), "description": "", "config": config,
    }  # fmt: skip
    session.run(server, server.post(url("storage-pools", kind.pool, "volumes", kind.type), request))
    session.say(f"Storage volume {name} created")


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete a volume that nobody uses."""
    _ = flags
    server, kind, name = _named(session, arguments)
    session.run(server, server.delete(kind.path(name)))
    session.say(f"Storage volume {name} deleted")


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give a volume, or a snapshot of one, another name."""
    _ = flags
    server, kind, name = _named(session, arguments)
    new = arguments[2]
    if kind.of_snapshots:
        volume, _, new = arguments[2].rpartition("/")
        if volume.removeprefix("custom/") != name.partition("/")[0]:
            raise CommandError("Invalid new snapshot name, parent volume must be the same as source")
    session.run(server, server.post(kind.path(name), {"name": new}))
    session.say(f'Renamed storage volume from "{name}" to "{new}"')


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a volume as YAML."""
    session.write(formats.yaml(_configured(session, arguments, flags).found))


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the value of a key, and nothing for an unset one."""
    _configured(session, arguments, flags).write(arguments[2])


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change keys."""
    place(session, arguments[0], arguments[1])[0].check_config()
    _configured(session, arguments, flags).set(arguments[2:])


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a key."""
    place(session, arguments[0], arguments[1])[0].check_config()
    _configured(session, arguments, flags).unset(arguments[2])


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a volume as YAML."""
    _ = flags
    kind, raw = place(session, arguments[0], arguments[1])
    configured.edit(session, kind, raw)


def info(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print what a volume takes of its pool."""
    _ = flags
    server, kind, name = _named(session, arguments)
    volume: dict[str, Any] = server.get(kind.path(name))
    usage = as_map(server.get(f"{kind.path(name)}/state")["usage"])
    lines = [f"Name: {volume['name']}", f"Type: {volume['type']}", f"Content type: {volume['content_type']}"]
    if volume.get("description"):
        lines.insert(1, f"Description: {volume['description']}")
    lines.append(f"Usage: {units.iec(int(usage.get('used', 0)))}")
    if usage.get("total"):
        lines.append(f"Total: {units.iec(int(usage['total']))}")
    report = "\n".join(lines) + "\n"
    if snapshots := _snapshots(server, kind.path(name)):
        report += "\nSnapshots:\n" + formats.table(["NAME", "DESCRIPTION", "EXPIRES AT"], formats.sort_rows(snapshots))
    session.write(report)


def _snapshots(server: Server, path: str) -> list[list[str]]:
    if "/custom/" not in path or not server.has("storage_api_volume_snapshots"):
        return []
    return [
        [one["name"].rpartition("/")[2], one.get("description", ""), units.time(one.get("expires_at"))]
        for one in server.get(f"{path}/snapshots?recursion=1")
    ]
