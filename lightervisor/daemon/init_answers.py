"""What `lxd init` decides: answers become one preseed document. No request is sent from here."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from lightervisor.errors import Invalid

Ask = Callable[[str, str], str]
Preseed = dict[str, Any]


def automatic(
    *, storage_backend: str, storage_pool: str = "default", is_first_pool: bool = True, bridge: str = ""
) -> Preseed:
    """`lxd init --auto`: a pool, a bridge (none when its name is "") and the default profile, as far as missing."""
    preseed: Preseed = {"config": {}, "networks": [], "storage_pools": [], "profiles": []}
    devices: dict[str, dict[str, str]] = {}
    if is_first_pool:
        preseed["storage_pools"].append(_pool(storage_pool, storage_backend))
        devices["root"] = {"type": "disk", "path": "/", "pool": storage_pool}
    if bridge:
        preseed["networks"].append(_bridge(bridge, "auto", "auto"))
        devices["eth0"] = {"type": "nic", "name": "eth0", "network": bridge}
    if devices:
        preseed["profiles"].append({"name": "default", "devices": devices})
    return preseed


def interactive(ask: Ask, drivers: Sequence[str], pools: Sequence[str]) -> Preseed:
    """The questions of `lxd init`, in LXD's order and words, for what this server offers."""
    preseed: Preseed = {"config": {}, "networks": [], "storage_pools": [], "profiles": []}
    devices: dict[str, dict[str, str]] = {}
    if _yes(ask, "Do you want to configure a new storage pool?", default=not pools):
        name = _until(
            ask, "Name of the new storage pool", "default", lambda text: text not in pools, "is taken already"
        )
        backend = _until(
            ask, f"Name of the storage backend to use ({', '.join(drivers)})", drivers[0], lambda t: t in drivers,
            "is not one of them",
        )  # fmt: skip
        preseed["storage_pools"].append(_pool(name, backend))
        devices["root"] = {"type": "disk", "path": "/", "pool": name}
    if _yes(ask, "Would you like to create a new local network bridge?", default=True):
        bridge = ask("What should the new bridge be called?", "lxdbr0")
        v4 = ask('What IPv4 address should be used? (CIDR subnet notation, "auto" or "none")', "auto")
        v6 = ask('What IPv6 address should be used? (CIDR subnet notation, "auto" or "none")', "auto")
        preseed["networks"].append(_bridge(bridge, v4, v6))
        devices["eth0"] = {"type": "nic", "name": "eth0", "network": bridge}
    if devices:
        preseed["profiles"].append({"name": "default", "devices": devices})
    return preseed


def check_preseed(document: Any) -> Preseed:
    """A preseed document, strictly: raises Invalid for anything that is not one or has an unknown key."""
    if not isinstance(document, dict):
        raise Invalid("preseed", cause="it is not a YAML mapping")
    known = {"config", "networks", "storage_pools", "profiles", "projects", "cluster"}
    fields = cast("dict[str, Any]", document)
    for key in fields:
        if key not in known:
            raise Invalid("preseed", key, cause=f"unknown key; known are {', '.join(sorted(known))}")
    for key in ("projects", "cluster"):
        if fields.get(key):
            raise Invalid("preseed", key, cause="this server does not offer it yet")
    return {key: fields.get(key) or ({} if key == "config" else []) for key in sorted(known - {"projects", "cluster"})}


def _pool(name: str, backend: str) -> dict[str, Any]:
    return {"name": name, "driver": backend, "config": {}, "description": ""}


def _bridge(name: str, v4: str, v6: str) -> dict[str, Any]:
    config = {"ipv4.address": v4, "ipv6.address": v6}
    return {"name": name, "type": "bridge", "config": config, "description": ""}


def _yes(ask: Ask, question: str, *, default: bool) -> bool:
    while True:
        answer = ask(f"{question} (yes/no)", "yes" if default else "no").lower()
        if answer in ("yes", "y"):
            return True
        if answer in ("no", "n"):
            return False


def _until(ask: Ask, question: str, default: str, accept: Callable[[str], bool], complaint: str) -> str:
    while not accept(answer := ask(question, default)):
        question = f'"{answer}" {complaint}. {question.rpartition(". ")[2]}'
    return answer
