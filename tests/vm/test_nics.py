"""VLANs and ipvlan, for which the kernel of a test machine may not be built."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.lan import Lan, lan
from tests.harness.servers import ask, listener, serving, socket_in


@pytest.fixture
def cabled() -> Iterator[Lan]:
    """A network behind an interface of the host."""
    with lan("10.233.9.1/24") as found:
        yield found


@pytest.fixture
def box(lxc: Lxc, image: str, name: str) -> str:
    """A container without a nic, not running; nothing in it asks for addresses."""
    lxc("init", image, name).ok()
    lxc("config", "device", "add", name, "eth0", "none").ok()
    return name


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def answers(daemon: Daemon, name: str, address: str, asker: int) -> bool:
    """Whether a container can be reached at an address by a process of another network."""
    with serving(socket_in(pid_of(daemon, name), lambda: listener(("0.0.0.0", 7777)))):
        try:
            return ask(socket_in(asker, lambda: socket.create_connection((address, 7777), 10)), b"hello") == b"hello"
        except OSError:
            return False


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_macvlan_in_a_vlan_of_its_parent(lxc: Lxc, daemon: Daemon, box: str, cabled: Lan, moment: str) -> None:
    cabled("ip", "link", "add", "link", "lan0", "name", "lan0.7", "type", "vlan", "id", "7").ok()
    cabled("ip", "address", "add", "10.233.7.1/24", "dev", "lan0.7").ok()
    cabled("ip", "link", "set", "lan0.7", "up").ok()
    if moment == "plugged":
        lxc("start", box).ok()
    options = ["name=eth0", "nictype=macvlan", f"parent={cabled.parent}", "vlan=7", "gvrp=true"]
    lxc("config", "device", "add", box, "net0", "nic", *options).ok()
    if moment == "started":
        lxc("start", box).ok()
    lxc("exec", box, "--", "ip", "address", "add", "10.233.7.50/24", "dev", "eth0").ok()
    assert answers(daemon, box, "10.233.7.50", cabled.pid)
    assert "GVRP" in processes.run(["ip", "-d", "link", "show", f"{cabled.parent}.7"]).ok().stdout
    lxc("stop", "--force", box).ok()
    assert processes.run(["ip", "link", "show", f"{cabled.parent}.7"]).status != 0


@pytest.mark.parametrize("mode", ["l3s", "l2"])
def test_ipvlan(lxc: Lxc, daemon: Daemon, box: str, cabled: Lan, mode: str) -> None:
    cabled.sysctl("ipv4", "forwarding", "1")
    processes.run(["ip", "address", "add", "10.233.9.2/24", "dev", cabled.parent]).ok()
    address = "10.233.9.60/24" if mode == "l2" else "10.233.9.60"
    options = ["name=eth0", "nictype=ipvlan", f"parent={cabled.parent}", f"mode={mode}", f"ipv4.address={address}"]
    lxc("config", "device", "add", box, "net0", "nic", *options).ok()
    lxc("start", box).ok()
    assert answers(daemon, box, "10.233.9.60", cabled.pid)
    done = lxc("config", "device", "remove", box, "net0").ok()
    assert done.stderr == ""


def test_bridged_nics_of_a_vlan_see_each_other(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    vlans = {f"{name}-1": "5", f"{name}-2": "5", f"{name}-3": "6"}
    for number, (one, vlan) in enumerate(vlans.items(), 1):
        lxc("init", image, one).ok()
        lxc("config", "device", "override", one, "eth0", f"vlan={vlan}").ok()
        lxc("start", one).ok()
        lxc("exec", one, "--", "ip", "address", "add", f"10.233.5.{number}/24", "dev", "eth0").ok()
    first, second, third = vlans
    assert answers(daemon, second, "10.233.5.2", pid_of(daemon, first))
    assert not answers(daemon, third, "10.233.5.3", pid_of(daemon, first))
    lxc("config", "device", "set", third, "eth0", "vlan=5").ok()
    lxc("exec", third, "--", "ip", "address", "add", "10.233.5.3/24", "dev", "eth0").ok()
    assert answers(daemon, third, "10.233.5.3", pid_of(daemon, first)), "plugged anew"


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_tagged_vlans_of_a_bridged_nic(lxc: Lxc, daemon: Daemon, image: str, name: str, moment: str) -> None:
    one, other = f"{name}-1", f"{name}-2"
    for number, (box, options) in enumerate({one: ["vlan.tagged=5,8-9"], other: ["vlan=8"]}.items(), 1):
        lxc("init", image, box).ok()
        if moment == "plugged":
            lxc("start", box).ok()
        lxc("config", "device", "override", box, "eth0", *options).ok()
        if moment == "started":
            lxc("start", box).ok()
        inside = ["nsenter", f"--net=/proc/{pid_of(daemon, box)}/ns/net", "--", "ip"]
        link = "eth0"
        if box == one:
            link = "eth0.8"
            processes.run([*inside, "link", "add", "link", "eth0", "name", link, "type", "vlan", "id", "8"]).ok()
            processes.run([*inside, "link", "set", link, "up"]).ok()
        processes.run([*inside, "address", "add", f"10.233.6.{number}/24", "dev", link]).ok()
    assert answers(daemon, one, "10.233.6.1", pid_of(daemon, other)), "by the tag"
    host_name = daemon.request("GET", f"/1.0/instances/{one}").metadata["config"]["volatile.eth0.host_name"]
    shown = processes.run(["bridge", "vlan", "show", "dev", host_name]).ok().stdout
    assert {"5", "8", "9"} <= {word for line in shown.splitlines() for word in line.split()}


def test_a_physical_network_is_a_vlan_of_its_parent(lxc: Lxc, daemon: Daemon, box: str, cabled: Lan) -> None:
    cabled("ip", "link", "add", "link", "lan0", "name", "lan0.7", "type", "vlan", "id", "7").ok()
    cabled("ip", "address", "add", "10.233.7.1/24", "dev", "lan0.7").ok()
    cabled("ip", "link", "set", "lan0.7", "up").ok()
    lxc("network", "create", "lvseven", "--type=physical", f"parent={cabled.parent}", "vlan=7").ok()
    created = daemon.request("GET", "/1.0/networks/lvseven").metadata["config"]["volatile.last_state.created"]
    assert created == "true"
    processes.run(["ip", "link", "show", f"{cabled.parent}.7"]).ok()
    lxc("config", "device", "add", box, "net0", "nic", "network=lvseven", "name=eth0").ok()
    lxc("start", box).ok()
    lxc("exec", box, "--", "ip", "address", "add", "10.233.7.50/24", "dev", "eth0").ok()
    assert answers(daemon, box, "10.233.7.50", cabled.pid)
    lxc("stop", "--force", box).ok()
    processes.run(["ip", "link", "show", f"{cabled.parent}.7"]).ok()
    lxc("config", "device", "remove", box, "net0").ok()
    lxc("network", "set", "lvseven", "vlan=8").ok()
    assert processes.run(["ip", "link", "show", f"{cabled.parent}.7"]).status != 0
    lxc("network", "delete", "lvseven").ok()
    assert processes.run(["ip", "link", "show", f"{cabled.parent}.8"]).status != 0
