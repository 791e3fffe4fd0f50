"""The nics of a running instance while criu works on it: it can neither dump nor restore their cables.

They are unplugged before a dump and plugged in again after it, with the addresses and routes that they had; at a
restore they are plugged in before the first socket is there, so that connections find their addresses.
"""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.config.merge import Expanded
from lightervisor.db.instances import InstanceRow
from lightervisor.instances.devices import InstanceDevices
from lightervisor.kernel import files, guests, network_kept, paths
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.network_kept import KeptLink
from lightervisor.kernel.threads import in_thread

NETWORK = "network.json"
_LARGEST = 1 << 20  # bytes; it may be from another server


def without_nics(expanded: Expanded) -> Expanded:
    """What an instance is made of, less its nics."""
    return Expanded(expanded.config, {name: one for name, one in expanded.devices.items() if one.get("type") != "nic"})


async def set_aside(
    devices: InstanceDevices, row: InstanceRow, expanded: Expanded, guest: Guest, directory: Path
) -> None:
    """Write down in a directory what the nics have, and unplug them. Raises HostError, OSError."""
    kept: dict[str, KeptLink] = {}

    def read() -> None:
        guests.in_network(guest, lambda: kept.update(network_kept.read()))
        files.write_whole(directory / NETWORK, network_kept.encode(kept).decode(), 0o600)

    await in_thread(read)
    await devices.unplug_nics(row, expanded, guest)


async def put_back(
    devices: InstanceDevices, row: InstanceRow, expanded: Expanded, guest: Guest, directory: Path
) -> Mapping[str, str]:
    """Plug the nics in that are missing, with what is written in the directory; their volatile keys. Raises Failure."""
    volatile = await devices.plug_nics(row, expanded, guest)

    def give() -> None:
        try:
            kept = network_kept.decode(paths.read(directory, NETWORK, limit=_LARGEST))
        except (FileNotFoundError, ValueError):
            return
        guests.in_network(guest, lambda: network_kept.give_back(kept))

    await in_thread(give)
    return volatile
