"""`lxc storage`: storage pools. Their volumes are in `storage_volume`."""

from __future__ import annotations

from lightervisor.cli import configured, formats, pairs
from lightervisor.cli.configured import Configured, Kind
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HINT = """\
### This is a YAML representation of a storage pool.
### Any line starting with a '#' will be ignored.
###
### A storage pool consists of a set of configuration items.
###
### An example would look like:
### name: default
### driver: zfs
### used_by: []
### config:
###   size: "61203283968"
###   source: /home/chb/mnt/lxd_test/default.img
###   zfs.pool_name: default
"""
KIND = Kind("storage-pools", "pool", ("config", "description"), _HINT)


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the storage pools of a server; in a cluster each member has a source of its own, so none is shown."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    found: list[dict[str, Any]] = server.get(url("storage-pools", recursion=1))
    columns = ["NAME", "DRIVER", "SOURCE", "DESCRIPTION", "USED BY", "STATE"]
    if server.is_clustered():
        columns.remove("SOURCE")
    rows = [[_cell(pool, column) for column in columns] for pool in found]
    session.write(formats.render(form, columns, formats.sort_rows(rows), found))


def _cell(pool: dict[str, Any], column: str) -> str:
    if column == "SOURCE":
        return as_map(pool.get("config")).get("source", "")
    if column == "USED BY":
        return str(len(as_list(pool.get("used_by"))))
    if column == "STATE":
        return str(pool.get("status", "")).upper()
    return str(pool.get(column.lower(), ""))


def create(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create a storage pool."""
    member = flags.text("target")
    server, name = session.resolve(arguments[0], member=member)
    config = pairs.parse(arguments[2:], "Bad key=value pair: [{}]")
    request = {"name": name, "driver": arguments[1], "description": "", "config": config}
    session.run(server, server.post(url("storage-pools"), request))
    session.say(f"Storage pool {name} pending on member {member}" if member else f"Storage pool {name} created")


def delete(session: Session, arguments: list[str], flags: Flags) -> None:
    """Delete a storage pool that nobody uses."""
    _ = flags
    server, name = KIND.place(session, arguments[0])
    session.run(server, server.delete(url("storage-pools", name)))
    session.say(f"Storage pool {name} deleted")


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a pool as YAML, or its used and total space and inodes."""
    member = flags.text("target")
    if flags.on("resources"):
        server, name = KIND.place(session, arguments[0], member)
        session.write(formats.yaml(server.get(url("storage-pools", name, "resources"))))
        return
    session.write(formats.yaml(Configured(session, KIND, arguments[0], member).found))


def get(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the value of a key, and nothing for an unset one."""
    Configured(session, KIND, arguments[0], flags.text("target")).write(arguments[1])


def set_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change keys."""
    Configured(session, KIND, arguments[0], flags.text("target")).set(arguments[1:])


def unset(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove a key."""
    Configured(session, KIND, arguments[0], flags.text("target")).unset(arguments[1])


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a pool as YAML."""
    _ = flags
    configured.edit(session, KIND, arguments[0])


def info(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a pool's space and what uses it."""
    from lightervisor.cli import storage_report

    server, name = KIND.place(session, arguments[0], configured.member(session, arguments[0], flags))
    pool = server.get(url("storage-pools", name))
    space = server.get(url("storage-pools", name, "resources"))["space"]
    report = storage_report.report(pool, space, in_bytes=flags.on("bytes"))
    session.write(formats.yaml(report, is_map=True))
