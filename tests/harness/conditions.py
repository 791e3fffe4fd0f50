"""What tests wait for and look up through the API."""

from __future__ import annotations

from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def leases_of(daemon: Daemon, network: str, instance: str) -> list[str]:
    """The IPv4 addresses that a network knows of an instance."""
    leases = daemon.request("GET", f"/1.0/networks/{network}/leases").metadata
    return [entry["address"] for entry in leases if entry["hostname"] == instance and "." in entry["address"]]


def address_of(daemon: Daemon, instance: str) -> str:
    """The instance's first IPv4 address, waited for."""
    return eventually(lambda: leases_of(daemon, daemon.bridge, instance), what="a lease")[0]
