"""The systems that others run: the LXD and the Incus of the distribution, each with a directory and a bridge.

They speak the same API on the same kind of socket, so they are daemons of the harness that differ in their programs
and in the names of their variables.
"""

from __future__ import annotations

import secrets
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


@dataclass(frozen=True)
class Kind:
    """One of the systems: its programs, and the variables that tell these where their things are."""

    name: str
    daemon: Path
    client: Path
    state_variable: str
    conf_variable: str
    packages: str
    instance_config: dict[str, str]


LXD = Kind("lxd", Path("/usr/bin/lxd"), Path("/usr/bin/lxc"), "LXD_DIR", "LXD_CONF", "lxd and lxd-client", {})
INCUS = Kind(
    "incus",
    Path("/usr/libexec/incus/incusd"),
    Path("/usr/bin/incus"),
    "INCUS_DIR",
    "INCUS_CONF",
    "incus-base and incus-client",
    # Beside LXD's package root has two ranges of ids, and Incus maps both of them onto 0; of one's own there is one.
    {"security.idmap.isolated": "true"},
)
KINDS = {kind.name: kind for kind in (LXD, INCUS)}


class Peer(Daemon):
    """A daemon that is not ours."""

    def __init__(self, kind: Kind, *, certificates: Path) -> None:
        """`certificates`: the authorities that it believes, PEM."""
        super().__init__(program=kind.daemon)
        self.kind, self._certificates = kind, certificates

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes this system's client talk to it."""
        return {self.kind.state_variable: str(self.state), "SSL_CERT_FILE": str(self._certificates)}

    def client(self, home: Path) -> Lxc:
        """Its own client, with a configuration of its own."""
        return Lxc(self.kind.client, {**self.env, self.kind.conf_variable: str(home)}, home)

    def initialise(self, *, driver: str = "dir") -> Peer:
        """A pool, a bridge and the default profile; these systems find no subnet by themselves without a route."""
        eventually(lambda: self.request("GET", "/internal/ready").status == 200, what="the peer to be ready")
        subnet = f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}"
        config = {"ipv4.address": f"{subnet}.1/24", "ipv6.address": "none", "ipv4.nat": "false"}
        devices = {
            "root": {"type": "disk", "path": "/", "pool": "default"},
            "eth0": {"type": "nic", "name": "eth0", "network": self.bridge},
        }
        network = {"name": self.bridge, "type": "bridge", "config": config}
        # Incus gives up when a cable of some other container on this host goes while it looks at all of them.
        eventually(lambda: self._has("POST", "/1.0/networks", network), what="the peer's network")
        assert self._has("POST", "/1.0/storage-pools", {"name": "default", "driver": driver})
        profile = {"config": self.kind.instance_config, "devices": devices}
        assert self._has("PUT", "/1.0/profiles/default", profile)
        return self

    def _has(self, method: str, path: str, body: object) -> bool:
        return self.request(method, path, body).status in (200, 201, 409)

    def forget(self) -> None:
        """Delete everything, stop the daemon, take down what it leaves mounted."""
        super().forget()
        places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed(places):
            if place.startswith(f"{self.state}/"):
                subprocess.run(["umount", place], check=True)

    def ask_to_shut_down(self) -> None:
        """By the API: these two call the command differently. They may end in the middle of their answer."""
        with suppress(OSError, HTTPException):
            self.request("PUT", "/internal/shutdown", {})
