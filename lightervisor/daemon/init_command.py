"""`lxd init`: ask, read or decide by flags, then make the running daemon so. Source: LXD, lxd init."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lightervisor.client.light import Server, url
from lightervisor.daemon import init_answers, preseed
from lightervisor.daemon.init_host import Host, Wishes
from lightervisor.daemon.init_questions import Asker
from lightervisor.daemon.preseed_apply import apply
from lightervisor.errors import Invalid
from lightervisor.kernel import fsinfo
from lightervisor.storage import btrfs_source

WAYS = ("auto", "minimal", "preseed", "dump")
WISHES = tuple(Wishes.__dataclass_fields__)


def check_flags(options: argparse.Namespace) -> None:
    """Raise Invalid with LXD's texts for flags that exclude each other."""
    ways = [way for way in WAYS if getattr(options, way)]
    wishes = [wish for wish in WISHES if getattr(options, wish)]
    if "dump" in ways and (len(ways) > 1 or wishes):
        raise Invalid("lxd init", text="Can't use --dump with other flags")
    if len(ways) > 1:
        raise Invalid("lxd init", text=f"Can't use --{ways[0]} and --{ways[1]} together")
    if wishes and "auto" not in ways:
        raise Invalid("lxd init", text="Configuration flags require --auto")


def run(options: argparse.Namespace, server: Server, state: Path) -> None:
    """Carry out `lxd init` with its flags, which were checked, for the daemon of a directory. Raises Failure."""
    if options.dump:
        sys.stdout.write(preseed.to_yaml(preseed.of_server(server)))
        return
    if options.preseed:
        apply(server, preseed.parse(sys.stdin.read()))
    elif options.auto or options.minimal:
        wishes = Wishes(**{wish: getattr(options, wish) for wish in WISHES})
        apply(server, init_answers.automatic(_host(server, state / "storage-pools"), wishes))
    else:
        asker = Asker()
        wanted = init_answers.interactive(asker, _host(server, state / "storage-pools"))
        if asker.yes('Would you like a YAML "lxd init" preseed to be printed?', default=False):
            sys.stdout.write(preseed.to_yaml({**wanted, "cluster": None}))
        apply(server, wanted)


def _host(server: Server, pools: Path) -> Host:
    interfaces = server.get(url("networks", recursion=1))
    return Host(
        drivers=[one["Name"] for one in server.info()["environment"]["storage_supported_drivers"]],
        pools=[one["name"] for one in server.get(url("storage-pools", recursion=1))],
        networks=[one["name"] for one in interfaces if one["managed"]],
        interfaces={one["name"]: one["type"] for one in interfaces},
        keys=_server_keys(server),
        pools_directory=str(pools),
        is_on_btrfs=fsinfo.type_name(fsinfo.existing_parent(pools)) == "btrfs",
        loop_gib=btrfs_source.usual_size(pools) // btrfs_source.GIB,
    )


def _server_keys(server: Server) -> list[str]:
    groups: dict[str, Any] = server.get("/1.0/metadata/configuration")["configs"].get("server", {})
    return [name for group in groups.values() for key in group["keys"] for name in key]
