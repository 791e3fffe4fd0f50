"""Managed networks that are an interface of the host: macvlan, physical, sriov."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import home
from tests.harness import processes
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.lan import Lan, lan
from tests.harness.processes import eventually

NET = Path("/sys/class/net")


@pytest.fixture
def cabled() -> Iterator[Lan]:
    """A network behind an interface of the host."""
    with lan("10.233.9.1/24") as found:
        yield found


@pytest.fixture
def network(lxc: Lxc, daemon: Daemon, name: str) -> Iterator[str]:
    """A name for a network, which is deleted afterwards."""
    chosen = f"n{name[2:]}"
    yield chosen
    for one in daemon.instance_names():
        if one.startswith(name):
            lxc("delete", "--force", one).ok()
    if daemon.request("GET", f"/1.0/networks/{chosen}").status == 200:
        lxc("network", "delete", chosen).ok()


@pytest.fixture
def box(lxc: Lxc, image: str, name: str) -> str:
    """A container without a nic, not running."""
    lxc("init", image, name).ok()
    lxc("config", "device", "add", name, "eth0", "none").ok()
    return name


def shown(daemon: Daemon, name: str) -> dict[str, object]:
    return daemon.request("GET", f"/1.0/networks/{name}").metadata


def pings(run: Lan, address: str) -> bool:
    return run("busybox", "ping", "-c", "4", "-W", "5", address).status == 0


@pytest.mark.parametrize("kind", ["macvlan", "physical"])
def test_the_life_of_a_network(either: Lxc, daemon: Daemon, cabled: Lan, network: str, kind: str) -> None:
    either("network", "create", network, f"--type={kind}", f"parent={cabled.parent}", "user.note=x").ok()
    found = shown(daemon, network)
    assert (found["type"], found["managed"], found["status"], found["used_by"]) == (kind, True, "Created", [])
    assert f"{network},{kind},YES" in either("network", "list", "--format=csv").ok().stdout
    assert f"parent: {cabled.parent}" in either("network", "show", network).ok().stdout
    either("network", "set", network, "mtu", "1400").ok()
    assert either("network", "get", network, "mtu").ok().stdout == "1400\n"
    either("network", "unset", network, "mtu").ok()
    assert (NET / cabled.parent / "mtu").read_text() == "1500\n"
    either("network", "edit", network, stdin=f"description: hello\nconfig:\n  parent: {cabled.parent}\n").ok()
    assert shown(daemon, network)["description"] == "hello"
    assert "user.note" not in str(shown(daemon, network)["config"])
    either("network", "rename", network, f"{network}x").ok()
    either("network", "rename", f"{network}x", network).ok()
    either("network", "info", network).ok()
    assert daemon.request("GET", f"/1.0/networks/{network}/leases").status == 501
    either("network", "delete", network).ok()
    assert daemon.request("GET", f"/1.0/networks/{network}").status == 404
    assert (NET / cabled.parent).exists()


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_a_nic_on_a_macvlan_network(lxc: Lxc, daemon: Daemon, cabled: Lan, network: str, box: str, moment: str) -> None:
    lxc("network", "create", network, "--type=macvlan", f"parent={cabled.parent}", "mtu=1400").ok()
    if moment == "plugged":
        lxc("start", box).ok()
    lxc("network", "attach", network, box, "net0", "eth0").ok()
    if moment == "started":
        lxc("start", box).ok()
    assert daemon.request("GET", f"/1.0/instances/{box}").metadata["devices"]["net0"] == {
        "type": "nic", "network": network, "name": "eth0",
    }  # fmt: skip
    assert "mtu 1400" in lxc.run(box, "ip", "link", "show", "eth0").stdout
    lxc("exec", box, "--", "ip", "address", "add", "10.233.9.50/24", "dev", "eth0").ok()
    assert pings(cabled, "10.233.9.50")
    assert shown(daemon, network)["used_by"] == [f"/1.0/instances/{box}"]
    lxc("network", "delete", network).failed("The network is currently in use")
    lxc("network", "detach", network, box).ok()
    assert lxc.run(box, "ip", "link", "show", "eth0").status != 0
    assert shown(daemon, network)["used_by"] == []


def test_a_nic_on_a_physical_network(lxc: Lxc, daemon: Daemon, cabled: Lan, network: str, box: str) -> None:
    lxc("network", "create", network, "--type=physical", f"parent={cabled.parent}", "mtu=1400").ok()
    assert (NET / cabled.parent / "mtu").read_text() == "1400\n"
    lxc("config", "device", "add", box, "net0", "nic", f"network={network}", "name=eth0").ok()
    lxc("start", box).ok()
    assert not (NET / cabled.parent).exists()
    lxc("exec", box, "--", "ip", "address", "add", "10.233.9.51/24", "dev", "eth0").ok()
    assert pings(cabled, "10.233.9.51")
    lxc("network", "set", network, "parent=nosuch0").failed("Cannot update network parent interface when in use")
    lxc("stop", "--force", box).ok()
    assert (NET / cabled.parent / "mtu").read_text() == "1400\n"
    lxc("config", "device", "remove", box, "net0").ok()
    lxc("network", "delete", network).ok()
    assert (NET / cabled.parent / "mtu").read_text() == "1500\n"


def test_a_daemon_that_starts_has_them_again(fresh_daemon: Daemon, cabled: Lan, tmp_path: Path) -> None:
    body = {"name": "up", "type": "physical", "config": {"parent": cabled.parent, "mtu": "1400"}}
    assert fresh_daemon.request("POST", "/1.0/networks", body).status == 201
    fresh_daemon.stop()
    processes.run(["ip", "link", "set", cabled.parent, "mtu", "1500"]).ok()
    fresh_daemon.start()
    assert (NET / cabled.parent / "mtu").read_text() == "1400\n"
    assert shown(fresh_daemon, "up")["status"] == "Created"


# What is refused


@pytest.mark.parametrize("kind", ["macvlan", "physical", "sriov"])
def test_bad_networks_are_refused(lxc: Lxc, daemon: Daemon, cabled: Lan, network: str, kind: str) -> None:
    create = ["network", "create", network, f"--type={kind}"]
    lxc(*create).failed(f'Invalid value for network "{network}" option "parent": Required value')
    parent = f"parent={cabled.parent}"
    lxc(*create, parent, "vlan=5000").failed(
        f'Invalid value for network "{network}" option "vlan": Out of VLAN ID range (0-4094) "5000"'
    )
    lxc(*create, parent, "ipv4.nat=true").failed(f'Invalid option for network "{network}" option "ipv4.nat"')
    lxc(*create, parent, "maas.subnet.ipv4=x").failed("maas.subnet.ipv4=x is not supported by this server")
    if kind != "sriov":
        lxc(*create, "parent=nosuch0").failed('Parent interface "nosuch0" not found')
    assert daemon.request("GET", f"/1.0/networks/{network}").status == 404


def test_a_card_without_virtual_functions_has_no_sriov_network(lxc: Lxc, cabled: Lan, network: str) -> None:
    text = f'Parent device "{cabled.parent}" doesn\'t support SR-IOV'
    lxc("network", "create", network, "--type=sriov", f"parent={cabled.parent}").failed(text)


def test_an_interface_is_of_one_physical_network(lxc: Lxc, cabled: Lan, network: str) -> None:
    lxc("network", "create", network, "--type=physical", f"parent={cabled.parent}").ok()
    text = f'Parent interface "{cabled.parent}" in use by another network'
    lxc("network", "create", f"{network}x", "--type=physical", f"parent={cabled.parent}").failed(text)


def test_what_the_network_says_the_nic_does_not(lxc: Lxc, cabled: Lan, network: str, box: str) -> None:
    lxc("network", "create", network, "--type=macvlan", f"parent={cabled.parent}").ok()
    add = ["config", "device", "add", box, "net0", "nic", f"network={network}"]
    for option, value in {"mtu": "1400", "vlan": "5", "gvrp": "true", "parent": "nosuch0"}.items():
        text = f'Cannot use "{option}" property in conjunction with "network" property'
        lxc(*add, f"{option}={value}").failed(text)
    lxc(*add, "nictype=macvlan").failed('Cannot use "nictype" property in conjunction with "network" property')
    lxc(*add, "ipv4.address=10.1.1.1").failed('Invalid device option "ipv4.address"')


@pytest.mark.skipif(Path("/proc/net/vlan").exists(), reason="this kernel has VLANs: tests/vm")
def test_a_kernel_without_vlans_is_told(lxc: Lxc, daemon: Daemon, cabled: Lan, network: str) -> None:
    create = ["network", "create", network, "--type=physical", f"parent={cabled.parent}", "vlan=5"]
    lxc(*create).failed("this kernel has no VLANs (CONFIG_VLAN_8021Q)")
    assert daemon.request("GET", f"/1.0/networks/{network}").status == 404


# Interfaces that come later


def master_of(interface: str) -> str:
    link = NET / interface / "master"
    return link.readlink().name if link.exists() else ""


def test_an_external_interface_is_plugged_in_whenever_it_comes(fresh_daemon: Daemon, tmp_path: Path, name: str) -> None:
    lxc, port, bridge = Lxc(OURS, fresh_daemon.env, home(tmp_path / "lxc")), f"lv{name[2:]}", f"lvt{name[2:8]}x"
    create = ["network", "create", bridge, "ipv4.address=none", "ipv6.address=none"]
    missing = f'External interface "{port}" does not exist'
    lxc(*create, f"bridge.external_interfaces={port}").failed(missing)
    make = ["ip", "link", "add", port, "type", "veth", "peer", "name", f"{port}p"]
    try:
        processes.run(make).ok()
        lxc(*create, f"bridge.external_interfaces={port}").ok()
        assert master_of(port) == bridge
        processes.run(["ip", "link", "delete", port]).ok()
        processes.run(make).ok()
        eventually(lambda: master_of(port) == bridge, what="the interface to be plugged in again")
        processes.run(["ip", "link", "delete", port]).ok()
        fresh_daemon.restart()
        assert shown(fresh_daemon, bridge)["status"] == "Created"
        warnings = fresh_daemon.request("GET", "/1.0/warnings?recursion=1").metadata
        assert [one["last_message"] for one in warnings if missing in one["last_message"]]
        processes.run(make).ok()
        eventually(lambda: master_of(port) == bridge, what="the interface to be plugged in after a restart")
        eventually(lambda: _resolved(fresh_daemon, missing), what="the warning to be over")
        lxc("network", "delete", bridge).ok()
        assert master_of(port) == ""
    finally:
        processes.run(["ip", "link", "delete", port])


def _resolved(daemon: Daemon, text: str) -> bool:
    warnings = daemon.request("GET", "/1.0/warnings?recursion=1").metadata
    return all(one["status"] == "resolved" for one in warnings if text in one["last_message"])


def test_a_network_whose_parent_comes_late_is_complete_then(fresh_daemon: Daemon, cabled: Lan) -> None:
    body = {"name": "late", "type": "physical", "config": {"parent": cabled.parent, "mtu": "1400"}}
    assert fresh_daemon.request("POST", "/1.0/networks", body).status == 201
    fresh_daemon.stop()
    processes.run(["ip", "link", "delete", cabled.parent]).ok()
    fresh_daemon.start()
    text = f'Parent interface "{cabled.parent}" not found'
    assert not _resolved(fresh_daemon, text)
    processes.run(["ip", "link", "add", cabled.parent, "type", "veth", "peer", "name", f"{cabled.parent}p"]).ok()
    eventually(lambda: _resolved(fresh_daemon, text), what="the warning to be over")
    assert (NET / cabled.parent / "mtu").read_text() == "1400\n"
