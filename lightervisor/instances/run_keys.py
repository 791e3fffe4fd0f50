"""What is noted about one run of an instance, in its volatile keys, and where the daemon keeps more of it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from lightervisor.db.instances import InstanceRow
from lightervisor.instances.catalog import READY


class Places(NamedTuple):
    """Directories of the daemon that instances have a part in."""

    logs: Path
    security: Path


class State(NamedTuple):
    """Memory to start with: its directory, and what is awaited before the processes move."""

    directory: Path
    settled: Callable[[], Awaitable[None]] | None = None


def not_ready(row: InstanceRow) -> dict[str, str | None]:
    """The guest has not said that it is ready."""
    return {READY: "false"} if READY in row.config else {}


def names_host_side(key: str) -> bool:
    """Whether a key tells what the devices of one run have on the host: volatile.DEVICE.host_name, .last_state.X."""
    words = key.split(".")
    return words[0] == "volatile" and (words[-1] == "host_name" or (len(words) > 3 and words[-2] == "last_state"))
