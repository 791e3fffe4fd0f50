"""The storage pool that `lxd init` proposes. Source: LXD, lxd init; the questions are in its order and words."""

from pathlib import Path
from typing import Any

from lightervisor.daemon.init_host import Host, Questions, Wishes
from lightervisor.daemon.preseed import Preseed

LIKE_DIR = ("dir", "overlay")  # these need no source: they are directories of the host


def config_of(wanted: Wishes) -> dict[str, str]:
    """What the flags of `lxd init --auto` say of a pool."""
    found: dict[str, str] = {}
    if wanted.storage_create_device or wanted.storage_pool:
        found["source"] = wanted.storage_create_device or wanted.storage_pool
    elif wanted.storage_create_loop:
        found["size"] = _gib(wanted.storage_create_loop)
    return found


def ask(ask: Questions, host: Host, preseed: Preseed, devices: dict[str, dict[str, str]]) -> None:
    """The questions about a pool; what they say goes into the preseed and the default profile's devices."""
    if not ask.yes("Do you want to configure a new storage pool?", default=True):
        return

    def name_complaint(name: str) -> str:
        taken = f'The requested storage pool "{name}" already exists. Please choose another name.'
        return taken if name in host.pools else ""

    name = ask.text("Name of the new storage pool", "default", name_complaint)
    backend = host.best_driver()
    if len(host.drivers) > 1:
        question = f"Name of the storage backend to use ({', '.join(host.drivers)})"
        backend = ask.text(question, backend, lambda answer: "" if answer in host.drivers else "no such backend")
    config = {} if backend in LIKE_DIR else _ask_source(ask, host, name, backend)
    preseed["storage_pools"].append(pool(name, backend, config))
    devices["root"] = {"type": "disk", "path": "/", "pool": name}


def _ask_source(ask: Questions, host: Host, name: str, backend: str) -> dict[str, str]:
    if backend == "btrfs" and host.is_on_btrfs:
        where = Path(host.pools_directory)
        if ask.yes(f"Would you like to create a new btrfs subvolume under {where.parent}?", default=True):
            return {"source": str(where / name)}
    if not ask.yes(f"Create a new {backend.upper()} pool?", default=True):
        return {"source": ask.text(f"Name of the existing {backend.upper()} pool or dataset")}
    question = "Would you like to use an existing empty block device (e.g. a disk or partition)?"
    if ask.yes(question, default=False):
        return {"source": ask.text("Path to the existing block device", "", _device_complaint)}
    question = "Size in GiB of the new loop device (1GiB minimum)"
    return {"size": _gib(ask.text(question, f"{host.loop_gib}GiB", _size_complaint))}


def _device_complaint(path: str) -> str:
    return "" if Path(path).is_block_device() else f'"{path}" is not a block device'


def _size_complaint(text: str) -> str:
    number = text.removesuffix("GiB")
    return "" if number.isdecimal() and int(number) >= 1 else "Minimum size is 1GiB"


def _gib(text: str) -> str:
    return f"{text}GiB" if text.isdecimal() else text


def pool(name: str, backend: str, config: dict[str, str]) -> dict[str, Any]:
    """A pool of a preseed."""
    return {"config": config, "description": "", "name": name, "driver": backend}
