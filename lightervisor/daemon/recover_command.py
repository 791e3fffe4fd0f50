"""`lxd recover`: look for instances and volumes that the database does not know. Source: LXD, lxd recover."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lightervisor.client.light import Server, url
from lightervisor.daemon.init_questions import Asker
from lightervisor.errors import Conflict, Invalid
from lightervisor.storage import btrfs_source

VALIDATE, IMPORT = "/internal/recover/validate", "/internal/recover/import"
LAYERS = "layers"
"""The directory that overlay pools have and others have not."""
Pool = dict[str, Any]


def run(options: argparse.Namespace, server: Server, state: Path) -> None:
    """Find and recover, asking a person or not. Raises Failure."""
    known: list[Pool] = server.get(url("storage-pools", recursion=1))
    if options.auto:
        _automatic(server, known, state)
    else:
        _interactive(server, known, Asker())


def _automatic(server: Server, known: list[Pool], state: Path) -> None:
    pools = [*known, *_unknown(state / "storage-pools", {one["name"] for one in known})]
    found = _validate(server, pools, restores=True)
    if not _told(found):
        _say("No unknown volumes found. Nothing to do.")
        return
    if missing := found["DependencyErrors"]:
        remedy = "create them, then run it again"
        raise Conflict(
            "lxd recover", text=f"You are currently missing the following: {', '.join(missing)}", remedy=remedy
        )
    _recover(server, pools, restores=True)


def _unknown(directory: Path, known: set[str]) -> list[Pool]:
    """The pools that lie where the server has its own, by what is in them."""
    found: list[Pool] = []
    for place in sorted(directory.iterdir()) if directory.is_dir() else ():
        if place.name in known or not place.is_dir():
            continue
        if btrfs_source.file_of(place).is_file():
            driver = "btrfs" if btrfs_source.is_btrfs(btrfs_source.file_of(place)) else "zfs"
        elif not any((place / folder).is_dir() for folder in ("containers", "custom")):
            _say(f"{place} is empty: a pool with a source elsewhere is recovered without --auto.")
            continue
        else:
            driver = "overlay" if (place / LAYERS).is_dir() else "dir"
        found.append({"name": place.name, "driver": driver, "config": {}})
        source = btrfs_source.file_of(place) if driver in ("btrfs", "zfs") else place
        _say(f' - NEW: "{place.name}" (backend="{driver}", source="{source}")')
    return found


def _interactive(server: Server, known: list[Pool], asker: Asker) -> None:
    _say("This LXD server currently has the following storage pools:")
    for pool in known:
        _say(f" - {_named(pool)}")
    new: list[Pool] = []
    while asker.yes("Would you like to recover another storage pool?", default=False):
        new.append(_asked(server, asker))
    _say("The recovery process will be scanning the following storage pools:")
    for label, pools in (("EXISTING", known), ("NEW", new)):
        for pool in pools:
            name, _, rest = _named(pool).partition(" ")
            _say(f' - {label}: "{name}" {rest}')
    if not asker.yes("Would you like to continue with scanning for lost volumes?", default=True):
        return
    _say("Scanning for unknown volumes...")
    pools = [*known, *new]
    if _is_complete(server, pools) and asker.yes("Would you like those to be recovered?", default=False):
        _recover(server, pools, restores=False)


def _is_complete(server: Server, pools: list[Pool]) -> bool:
    """Say what was found until nothing is missing for it; false when nothing was."""
    while True:
        found = _validate(server, pools, restores=False)
        if not _told(found):
            _say("No unknown volumes found. Nothing to do.")
            return False
        if not found["DependencyErrors"]:
            return True
        _say("You are currently missing the following:")
        for missing in found["DependencyErrors"]:
            _say(f" - {missing}")
        sys.stdout.write("Please create those missing entries and then hit ENTER: ")
        sys.stdout.flush()
        if not sys.stdin.readline():
            remedy = "lxd recover --auto makes profiles and networks again that instances tell of"
            raise Invalid("lxd recover", text="the input ended before the last answer", remedy=remedy)


def _named(pool: Pool) -> str:
    source = pool["config"].get("source", "")
    return f'{pool["name"]} (backend="{pool["driver"]}", source="{source}")'


def _asked(server: Server, asker: Asker) -> Pool:
    drivers = [one["Name"] for one in server.info()["environment"]["storage_supported_drivers"]]
    name = asker.text("Name of the storage pool")
    driver = asker.text(
        f"Name of the storage backend ({', '.join(drivers)})",
        check=lambda answer: "" if answer in drivers else f"{answer!r} is none of them",
    )
    source = asker.text("Source of the storage pool (block device, volume group, dataset, path, ... as applicable)")
    config = {"source": source}
    while pair := asker.optional("Additional storage pool configuration property (KEY=VALUE, empty when done)"):
        key, equals, value = pair.partition("=")
        if equals:
            config[key] = value
        else:
            asker.say("Config option should be in the format KEY=VALUE")
    return {"name": name, "driver": driver, "config": config}


def _validate(server: Server, pools: list[Pool], *, restores: bool) -> dict[str, Any]:
    return server.post(VALIDATE, {"Pools": _sent(pools), "restores": restores})["metadata"]


def _recover(server: Server, pools: list[Pool], *, restores: bool) -> None:
    _say("Starting recovery...")
    server.post(IMPORT, {"Pools": _sent(pools), "restores": restores})


def _sent(pools: list[Pool]) -> list[Pool]:
    return [
        {key: pool.get(key, "") for key in ("name", "driver", "description")} | {"config": pool["config"]}
        for pool in pools
    ]


def _told(found: dict[str, Any]) -> bool:
    """Say what was found; false when there is nothing to recover."""
    for sentence in found.get("Unusable", []):
        sys.stderr.write(f"Cannot be recovered: {sentence}\n")
    unknown: list[dict[str, Any]] = found["UnknownVolumes"]
    if unknown:
        _say("The following unknown volumes have been found:")
    for one in unknown:
        kind, count = str(one["type"]).capitalize(), one["snapshotCount"]
        place = f'on pool "{one["pool"]}" in project "{one["project"]}"'
        _say(f' - {kind} "{one["name"]}" {place} (includes {count} snapshots)')
    return bool(unknown)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
