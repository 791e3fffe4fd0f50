"""The nftables chains of nics, whose names end in what is this daemon's alone."""

from __future__ import annotations

import hashlib

from tests.harness import processes
from tests.harness.daemon import Daemon


def listed(daemon: Daemon, family: str, kind: str, nic: str) -> str:
    """What nft says of a chain of this kind ("pre", "egress") of a nic, called "instance.device"; "" without one."""
    mark = hashlib.sha256(bytes(daemon.state / "devices")).hexdigest()[:8]
    return processes.run(["nft", "list", "chain", family, "lxd", f"{kind}.{nic}.{mark}"]).stdout
