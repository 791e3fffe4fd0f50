"""Limits of nics: what goes through a cable, both ways, live, after reboots, and nothing left of it."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

import pytest

from tests.harness import chains
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

AMOUNT = 3_000_000
PORT = 5001
LIMIT = "6Mbit"  # 750 kB per second: four seconds for the amount, but one second of what is sent is let through
SLOW_S = 2.0


class Cable:
    """A running instance with an address, and the host at the other end."""

    def __init__(self, daemon: Daemon, lxc: Lxc, name: str) -> None:
        self.daemon, self.lxc, self.name = daemon, lxc, name
        network = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]
        bridge = ip_interface(network["ipv4.address"])
        self.host, self.guest = str(bridge.ip), ""

    def connect(self) -> None:
        """Wait until the guest has an address."""
        eventually(self._has_address, what="the guest to have an address")

    def _has_address(self) -> bool:
        state = self.daemon.request("GET", f"/1.0/instances/{self.name}/state").metadata
        addresses = ((state["network"] or {}).get("eth0") or {}).get("addresses", [])
        self.guest = next((one["address"] for one in addresses if one["family"] == "inet"), "")
        return self.guest != ""

    def sh(self, line: str) -> str:
        """Run a line in the guest."""
        return self.lxc("exec", self.name, "--", "sh", "-c", line).ok().stdout

    def pid(self) -> int:
        """Of its init, 0 when it does not run."""
        return max(0, self.daemon.request("GET", f"/1.0/instances/{self.name}/state").metadata["pid"])

    def rules(self) -> str:
        """The rules of nftables on the cable's end."""
        return chains.listed(self.daemon, "netdev", "egress", f"{self.name}.eth0")

    def receive_s(self) -> float:
        """How long the guest takes to receive the amount."""
        self.sh(f"nc -l -p {PORT} -e sh -c 'head -c {AMOUNT} | wc -c' </dev/null >/dev/null 2>&1 & :")
        links: list[socket.socket] = []

        def connected() -> bool:
            try:
                links.append(socket.create_connection((self.guest, PORT), timeout=20))
            except OSError:
                return False
            return True

        eventually(connected, what="the guest to listen")
        began = time.monotonic()
        with links[0] as link:
            link.sendall(bytes(AMOUNT))
            assert link.recv(100).strip() == str(AMOUNT).encode()
        return time.monotonic() - began

    def send_s(self) -> float:
        """How long the guest takes to send the amount."""
        with socket.create_server((self.host, 0)) as server:
            server.settimeout(20)
            port, found = server.getsockname()[1], []

            def serve() -> None:
                link, _ = server.accept()
                with link:
                    began, count = time.monotonic(), 0
                    while count < AMOUNT and (data := link.recv(65536)):
                        count += len(data)
                    found.append((time.monotonic() - began, count))

            thread = threading.Thread(target=serve)
            thread.start()
            self.lxc("exec", self.name, "--", "sh", "-c", f"head -c {AMOUNT} /dev/zero | nc {self.host} {port}")
            thread.join(30)
        assert found and found[0][1] == AMOUNT
        return found[0][0]


@pytest.fixture
def cable(daemon: Daemon, lxc: Lxc, running: str) -> Iterator[Cable]:
    """A running instance that has its nic itself, not from a profile."""
    cable = Cable(daemon, lxc, running)
    lxc("config", "device", "override", running, "eth0").ok()
    cable.connect()
    yield cable
    lxc("stop", "--force", running).ok()
    left = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert f"egress.{running}." not in left


def test_both_ways_live_and_after_a_reboot(cable: Cable) -> None:
    assert cable.receive_s() < SLOW_S / 2
    assert cable.send_s() < SLOW_S / 2
    cable.lxc("config", "device", "set", cable.name, "eth0", f"limits.ingress={LIMIT}", f"limits.egress={LIMIT}").ok()
    assert cable.receive_s() > SLOW_S
    assert cable.send_s() > SLOW_S
    pid = cable.pid()
    cable.lxc("exec", cable.name, "--", "reboot", "-f")
    eventually(lambda: cable.pid() not in (0, pid), what="the guest to reboot")
    cable.connect()
    assert cable.receive_s() > SLOW_S
    assert cable.send_s() > SLOW_S
    cable.lxc("config", "device", "unset", cable.name, "eth0", "limits.ingress").ok()
    cable.lxc("config", "device", "unset", cable.name, "eth0", "limits.egress").ok()
    assert cable.receive_s() < SLOW_S / 2
    assert cable.send_s() < SLOW_S / 2
    assert cable.rules() == ""


def test_limits_that_were_there_at_the_start(cable: Cable) -> None:
    cable.lxc("stop", "--force", cable.name).ok()
    cable.lxc("config", "device", "set", cable.name, "eth0", f"limits.max={LIMIT}").ok()
    cable.lxc("start", cable.name).ok()
    cable.connect()
    assert cable.receive_s() > SLOW_S
    assert cable.send_s() > SLOW_S
    cable.lxc("config", "device", "set", cable.name, "eth0", "limits.max=1Gbit").ok()
    assert cable.receive_s() < SLOW_S / 2


def test_priority_is_set_on_what_the_guest_sends(cable: Cable, either: Lxc) -> None:
    either("config", "set", cable.name, "limits.network.priority", "5").ok()
    assert "meta priority set 0:5" in cable.rules()
    either("config", "device", "set", cable.name, "eth0", "limits.egress=1Gbit").ok()
    assert "meta priority set 0:5" in cable.rules() and "bytes/second" in cable.rules()
    either("restart", "--force", cable.name).ok()
    assert "meta priority set 0:5" in cable.rules()
    either("config", "unset", cable.name, "limits.network.priority").ok()
    assert "priority set" not in cable.rules()
    cable.connect()
    assert cable.send_s() < SLOW_S


def test_a_profile_limits_every_nic(cable: Cable, daemon: Daemon) -> None:
    shown: dict[str, Any] = daemon.request("GET", f"/1.0/instances/{cable.name}").metadata
    profile = f"nic-{cable.name}"
    eth0 = {**shown["devices"]["eth0"], "limits.egress": "10Mbit"}
    daemon.request("POST", "/1.0/profiles", {"name": profile, "devices": {"eth0": eth0}, "config": {}})
    cable.lxc("config", "device", "remove", cable.name, "eth0").ok()
    cable.lxc("profile", "add", cable.name, profile).ok()
    assert "1250000 bytes/second" in cable.rules() or "1250 kbytes/second" in cable.rules(), cable.rules()
    cable.lxc("profile", "remove", cable.name, profile).ok()
    assert cable.rules() == ""
    cable.lxc("profile", "delete", profile).ok()
