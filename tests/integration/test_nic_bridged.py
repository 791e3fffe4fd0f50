"""Ports of a bridge: isolation, queues, and VLANs where the kernel's bridges have none (where they do: tests/vm)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

NET = Path("/sys/class/net")
SUBNET = "10.233.21"


@pytest.fixture
def three(lxc: Lxc, image: str, name: str) -> Iterator[list[str]]:
    """Three running containers on the bridge, with addresses of their own in a subnet that nobody else has."""
    names = [f"{name}-{number}" for number in range(3)]
    for one in names:
        lxc("launch", image, one).ok()
    for number, one in enumerate(names):
        settled(lxc, one)
        address(lxc, one, number)
    yield names


def settled(lxc: Lxc, name: str) -> None:
    """Wait for the address by DHCP, which takes any other one away."""
    eventually(lambda: "inet " in lxc.run(name, "ip", "-4", "address", "show", "eth0").stdout, what="an address")


def address(lxc: Lxc, name: str, number: int) -> None:
    lxc("exec", name, "--", "ip", "address", "add", f"{SUBNET}.{number + 1}/24", "dev", "eth0").ok()


def reaches(lxc: Lxc, one: str, number: int) -> bool:
    return lxc.run(one, "ping", "-c", "2", "-W", "2", f"{SUBNET}.{number + 1}").status == 0


def host_name(daemon: Daemon, name: str, device: str = "eth0") -> str:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata["config"][f"volatile.{device}.host_name"]


def test_isolated_ports_do_not_hear_each_other(lxc: Lxc, daemon: Daemon, three: list[str]) -> None:
    first, second, third = three
    assert reaches(lxc, first, 1)
    for number, one in enumerate((first, second)):
        lxc("config", "device", "override", one, "eth0", "security.port_isolation=true").ok()
        address(lxc, one, number)
        assert (NET / host_name(daemon, one) / "brport/isolated").read_text() == "1\n"
    assert not reaches(lxc, first, 1)
    assert not reaches(lxc, second, 0)
    assert reaches(lxc, first, 2), "one that is not isolated"
    assert reaches(lxc, third, 1)
    lxc("restart", "--force", second).ok()
    settled(lxc, second)
    address(lxc, second, 1)
    assert not reaches(lxc, first, 1), "after a restart, too"
    lxc("config", "device", "set", second, "eth0", "security.port_isolation=false").ok()
    address(lxc, second, 1)
    assert reaches(lxc, first, 1)


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_the_queue_of_a_port_is_as_long_as_it_says(
    lxc: Lxc, daemon: Daemon, image: str, name: str, moment: str
) -> None:
    lxc("init", image, name).ok()
    lxc("config", "device", "add", name, "eth0", "none").ok()
    if moment == "plugged":
        lxc("start", name).ok()
    lxc("config", "device", "add", name, "net0", "nic", f"network={daemon.bridge}", "queue.tx.length=321").ok()
    if moment == "started":
        lxc("start", name).ok()
    assert "qlen 321" in processes.run(["ip", "link", "show", host_name(daemon, name, "net0")]).ok().stdout
    assert "qlen 321" in lxc.run(name, "ip", "link", "show").stdout, "and at its other end"
    text = 'Invalid value for device option "queue.tx.length"'
    lxc("config", "device", "set", name, "net0", "queue.tx.length=-1").failed(text)


@pytest.mark.parametrize("option", ["vlan=5", "vlan=none", "vlan.tagged=5,7-9"])
def test_a_kernel_without_vlans_of_bridges_is_told(lxc: Lxc, daemon: Daemon, running: str, option: str) -> None:
    if (NET / daemon.bridge / "bridge/vlan_filtering").exists():
        pytest.skip("this kernel has them: tests/vm")
    before = host_name(daemon, running)
    override = lxc("config", "device", "override", running, "eth0", option)
    override.failed("this kernel's bridges cannot tell VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING)")
    assert host_name(daemon, running) == before
    assert "eth0" not in daemon.request("GET", f"/1.0/instances/{running}").metadata["devices"]
