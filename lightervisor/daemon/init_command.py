"""`lxd init`: ask or read, then apply a preseed to the running daemon, undoing it when a part fails."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from lightervisor.client.light import Server, url
from lightervisor.client.light_operations import wait
from lightervisor.daemon import init_answers
from lightervisor.errors import Invalid


def run(options: argparse.Namespace, server: Server) -> None:
    """Carry out `lxd init` with its flags. Raises Failure."""
    if options.dump:
        sys.stdout.write(_yaml(dump(server)))
        return
    pools = [pool["name"] for pool in server.get(url("storage-pools", recursion=1))]
    drivers = [one["Name"] for one in server.info()["environment"]["storage_supported_drivers"]]
    if options.preseed:
        preseed = init_answers.check_preseed(_read_yaml(sys.stdin.read()))
    elif options.auto or options.minimal:
        networks = server.get(url("networks", recursion=1))
        preseed = init_answers.automatic(
            storage_backend=options.storage_backend or drivers[0],
            storage_pool=options.storage_pool or "default",
            is_first_pool=not pools,
            bridge="" if any(one["managed"] for one in networks) else _free_bridge({one["name"] for one in networks}),
        )
        if options.network_address:
            preseed["config"]["core.https_address"] = f"{options.network_address}:{options.network_port}"
    else:
        preseed = init_answers.interactive(ask, drivers, pools)
        if ask('Would you like a YAML "lxd init" preseed to be printed? (yes/no)', "no").lower() in ("yes", "y"):
            sys.stdout.write(_yaml(preseed))
    apply(server, preseed)


def _free_bridge(taken: set[str]) -> str:
    return next(name for number in range(len(taken) + 1) if (name := f"lxdbr{number}") not in taken)


def ask(question: str, default: str) -> str:
    """Ask on the terminal; an empty answer takes the default. Raises Invalid at the end of input."""
    sys.stdout.write(f"{question} [default={default}]: ")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise Invalid("lxd init", cause="the input ended before the last answer", remedy="lxd init --auto")
    return line.strip() or default


def apply(server: Server, preseed: init_answers.Preseed) -> None:
    """Create or update what a preseed names; when a part fails or is interrupted, undo and raise."""
    undo: list[Callable[[], Any]] = []
    try:
        if preseed["config"]:
            undo.append(_configure(server, preseed["config"]))
        for kind, one in _objects(preseed):
            undo.append(_create_or_update(server, kind, one))
    except BaseException:  # Ctrl-C too
        for step in reversed(undo):
            step()
        raise


def _objects(preseed: init_answers.Preseed) -> list[tuple[str, dict[str, Any]]]:
    pools = [("storage-pools", one) for one in preseed["storage_pools"]]
    networks = [("networks", one) for one in preseed["networks"]]
    return pools + networks + [("profiles", one) for one in preseed["profiles"]]


def _configure(server: Server, config: dict[str, Any]) -> Callable[[], Any]:
    before = server.get("/1.0")["config"]
    server.patch("/1.0", {"config": config})
    return lambda: server.put("/1.0", {"config": before})


def _create_or_update(server: Server, kind: str, wanted: dict[str, Any]) -> Callable[[], Any]:
    name = str(wanted.get("name", ""))
    if not name:
        raise Invalid("preseed", kind, cause="an entry has no name")
    path = url(kind, name)
    if not server.exists(path) or not server.get(path).get("managed", True):
        _finish(server, server.post(url(kind), wanted))
        return lambda: server.delete(path)
    before = server.get(path)
    writable = ("config", "description", "devices")
    old = {key: before[key] for key in writable if key in before}
    new = {**old, **{key: wanted[key] for key in writable if wanted.get(key)}}
    for key in ("config", "devices"):
        if key in old:
            new[key] = {**old[key], **(wanted.get(key) or {})}
    _finish(server, server.put(path, new))
    return lambda: server.put(path, old)


def _finish(server: Server, envelope: dict[str, Any]) -> None:
    if envelope["type"] == "async":
        wait(server, envelope["metadata"])


def dump(server: Server) -> init_answers.Preseed:
    """The server's present set-up as a preseed document."""

    def pick(objects: list[dict[str, Any]], *fields: str) -> list[dict[str, Any]]:
        return [{field: one[field] for field in fields} for one in objects]

    networks = [one for one in server.get(url("networks", recursion=1)) if one["managed"]]
    return {
        "config": server.get("/1.0")["config"],
        "networks": pick(networks, "config", "description", "name", "type"),
        "storage_pools": pick(server.get(url("storage-pools", recursion=1)), "config", "description", "name", "driver"),
        "profiles": pick(server.get(url("profiles", recursion=1)), "config", "description", "devices", "name"),
    }


def _yaml(document: object) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _read_yaml(text: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid("preseed", cause=f"it is not YAML: {error}") from error
