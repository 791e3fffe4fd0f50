"""Nics that are no ports of a bridge: p2p, routed, macvlan, physical; and what this kernel or host does not have."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import chains, processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.lan import Lan, lan
from tests.harness.processes import eventually
from tests.harness.servers import listener, serving, socket_in

MOMENTS = pytest.mark.parametrize("moment", ["plugged", "started"])
Give = Callable[..., None]


@pytest.fixture
def cabled() -> Iterator[Lan]:
    """A network behind an interface of the host."""
    with lan("10.233.9.1/24", "fd42:233::1/64") as found:
        yield found


@pytest.fixture
def box(lxc: Lxc, image: str, name: str) -> str:
    """A container without a nic, not running."""
    lxc("init", image, name).ok()
    lxc("config", "device", "add", name, "eth0", "none").ok()
    return name


@pytest.fixture
def give(lxc: Lxc, box: str, moment: str) -> Give:
    """Give the container a nic before it is started, or while it runs."""

    def call(*options: str) -> None:
        if moment == "plugged":
            lxc("start", box).ok()
        lxc("config", "device", "add", box, "net0", "nic", "name=eth0", *options).ok()
        if moment == "started":
            lxc("start", box).ok()

    return call


def config(daemon: Daemon, name: str) -> dict[str, str]:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]


def pings(run: Callable[..., processes.Done], address: str) -> bool:
    return run("busybox", "ping", "-c", "4", "-W", "5", address).status == 0


def links() -> str:
    return processes.run(["ip", "-o", "link"]).ok().stdout


@MOMENTS
def test_p2p_is_a_cable_with_routes(lxc: Lxc, daemon: Daemon, box: str, give: Give, moment: str) -> None:
    give("nictype=p2p", "ipv4.routes=10.234.7.0/24", "mtu=1400", "limits.ingress=10Mbit", "queue.tx.length=321")
    host_name = config(daemon, box)["volatile.net0.host_name"]
    shown = processes.run(["ip", "link", "show", host_name]).ok().stdout
    assert "qlen 321" in shown
    assert "master" not in shown
    assert "mtu 1400" in lxc.run(box, "ip", "link", "show", "eth0").stdout
    assert host_name in processes.run(["ip", "route", "show", "10.234.7.0/24"]).stdout
    assert "rate 10Mbit" in processes.run(["tc", "class", "show", "dev", host_name]).stdout
    lxc("config", "device", "set", box, "net0", "ipv4.routes=10.234.8.0/24").ok()
    assert config(daemon, box)["volatile.net0.host_name"] == host_name, "the same cable"
    assert processes.run(["ip", "route", "show", "10.234.7.0/24"]).stdout == ""
    assert host_name in processes.run(["ip", "route", "show", "10.234.8.0/24"]).stdout
    lxc("config", "device", "remove", box, "net0").ok()
    assert host_name not in links()
    assert lxc.run(box, "ip", "link", "show", "eth0").status != 0


@MOMENTS
def test_routed_is_reached_by_its_addresses(
    lxc: Lxc, daemon: Daemon, box: str, give: Give, cabled: Lan, moment: str
) -> None:
    for version, key in (("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "proxy_ndp")):
        cabled.sysctl(version, key, "1")
    # The host itself is on the link, as a router is.
    processes.run(["ip", "address", "add", "10.233.9.2/24", "dev", cabled.parent]).ok()
    processes.run(["ip", "address", "add", "fd42:233::2/64", "dev", cabled.parent, "nodad"]).ok()
    give(
        "nictype=routed", f"parent={cabled.parent}", "ipv4.address=10.233.9.77", "ipv6.address=fd42:233::77",
        "ipv4.routes=10.234.9.0/24", "ipv4.host_table=4711",
    )  # fmt: skip
    host_name = config(daemon, box)["volatile.net0.host_name"]
    for address in ("10.233.9.77", "fd42:233::77"):
        eventually(lambda address=address: pings(cabled, address), timeout_s=30, what=f"an answer of {address}")
        assert address in processes.run(["ip", "neigh", "show", "proxy"]).stdout
        assert address in processes.run(["ip", "-6", "neigh", "show", "proxy"]).stdout or "." in address
    inside = ["nsenter", "-t", str(_pid(daemon, box)), "-n"]
    eventually(
        lambda: pings(lambda *words: processes.run([*inside, *words]), "10.233.9.1"), what="an answer to the box"
    )
    assert host_name in processes.run(["ip", "route", "show", "table", "4711"]).stdout
    assert "via 10.233.9.77" in processes.run(["ip", "route", "show", "10.234.9.0/24"]).stdout
    lxc("stop", "--force", box).ok()
    assert host_name not in links()
    assert "10.233.9.77" not in processes.run(["ip", "neigh", "show", "proxy"]).stdout
    assert processes.run(["ip", "route", "show", "table", "4711"]).stdout == ""


def _pid(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def test_routed_does_not_send_from_what_is_not_its_own(lxc: Lxc, daemon: Daemon, box: str) -> None:
    lxc("config", "device", "add", box, "net0", "nic", "name=eth0", "nictype=routed", "ipv4.address=10.233.8.5").ok()
    lxc("start", box).ok()
    lxc("exec", box, "--", "ip", "address", "add", "10.233.8.66/32", "dev", "eth0").ok()
    heard = listener(("169.254.0.1", 0), kind=socket.SOCK_DGRAM)
    heard.settimeout(10)
    pid = _pid(daemon, box)
    for source, said in (("10.233.8.66", b"forged"), ("10.233.8.5", b"honest")):
        mouth = socket_in(pid, lambda source=source: listener((source, 0), kind=socket.SOCK_DGRAM))
        mouth.sendto(said, heard.getsockname())
        mouth.close()
    assert heard.recv(100) == b"honest"
    heard.close()


def test_an_address_that_is_somebodys_is_refused(lxc: Lxc, box: str, cabled: Lan) -> None:
    for version, key in (("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "proxy_ndp")):
        cabled.sysctl(version, key, "1")
    for address, option in (("10.233.9.1", "ipv4.address"), ("fd42:233::1", "ipv6.address")):
        options = ["name=eth0", "nictype=routed", f"parent={cabled.parent}", f"{option}={address}"]
        lxc("config", "device", "add", box, "net0", "nic", *options).ok()
        text = f'Failed to start device "net0": IP address "{address}" in use on parent network "{cabled.parent}"'
        lxc("start", box).failed(text)
        lxc("config", "device", "remove", box, "net0").ok()


def test_routed_wants_a_parent_that_passes_packets_on(lxc: Lxc, box: str, cabled: Lan) -> None:
    cabled.sysctl("ipv4", "forwarding", "0")
    options = ["nictype=routed", f"parent={cabled.parent}", "ipv4.address=10.233.9.77"]
    text = f"Routed mode requires sysctl net.ipv4.conf.{cabled.parent}.forwarding=1"
    lxc("config", "device", "add", box, "net0", "nic", *options).failed(text)


@MOMENTS
def test_macvlan_is_on_its_parents_link(
    lxc: Lxc, daemon: Daemon, box: str, give: Give, cabled: Lan, moment: str
) -> None:
    give("nictype=macvlan", f"parent={cabled.parent}", "hwaddr=00:16:3e:12:34:56")
    lxc("exec", box, "--", "ip", "address", "add", "10.233.9.50/24", "dev", "eth0").ok()
    assert "00:16:3e:12:34:56" in lxc.run(box, "ip", "link", "show", "eth0").stdout
    assert pings(cabled, "10.233.9.50")
    lxc("config", "device", "remove", box, "net0").ok()
    assert lxc.run(box, "ip", "link", "show", "eth0").status != 0
    assert not [key for key in config(daemon, box) if key.startswith("volatile.net0.")]


@MOMENTS
def test_physical_goes_inside_and_comes_back(
    lxc: Lxc, daemon: Daemon, box: str, give: Give, cabled: Lan, moment: str
) -> None:
    before = (Path("/sys/class/net") / cabled.parent / "address").read_text()
    give("nictype=physical", f"parent={cabled.parent}", "mtu=1400", "hwaddr=00:16:3e:65:43:21")
    assert cabled.parent not in links()
    assert "00:16:3e:65:43:21" in lxc.run(box, "ip", "link", "show", "eth0").stdout
    lxc("exec", box, "--", "ip", "address", "add", "10.233.9.51/24", "dev", "eth0").ok()
    assert pings(cabled, "10.233.9.51")
    if moment == "plugged":
        lxc("config", "device", "remove", box, "net0").ok()
    else:
        lxc("stop", "--force", box).ok()
    here = Path("/sys/class/net") / cabled.parent
    assert (here / "address").read_text() == before
    assert (here / "mtu").read_text() == "1500\n"


@pytest.mark.parametrize("how", ["stopped", "restarted", "killed", "daemon away"])
def test_physical_that_was_plugged_in_comes_back_when_the_instance_ends(
    lxc: Lxc, daemon: Daemon, box: str, cabled: Lan, how: str
) -> None:
    lxc("start", box).ok()
    before = (Path("/sys/class/net") / cabled.parent / "address").read_text()
    lxc("config", "device", "add", box, "net0", "nic", "name=eth0", "nictype=physical", f"parent={cabled.parent}").ok()
    init = daemon.request("GET", f"/1.0/instances/{box}/state").metadata["pid"]
    if how == "daemon away":
        daemon.kill()
    if how in ("killed", "daemon away"):
        os.kill(init, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{init}").exists(), what="init to end")
    if how == "daemon away":
        daemon.start()
    elif how != "killed":
        lxc("restart" if how == "restarted" else "stop", "--force", box).ok()
    if how == "restarted":  # it has it again
        assert before.strip() in lxc.run(box, "cat", "/sys/class/net/eth0/address").stdout
        lxc("stop", "--force", box).ok()
    eventually(lambda: cabled.parent in links(), what="the interface to be back")
    assert (Path("/sys/class/net") / cabled.parent / "address").read_text() == before
    assert not (daemon.state / "devices" / box).exists()


def test_what_is_sent_too_quickly_is_dropped(lxc: Lxc, daemon: Daemon, box: str) -> None:
    options = ["nictype=routed", "ipv4.address=10.233.7.5", "limits.egress=8Mbit", "limits.priority=3"]
    lxc("config", "device", "add", box, "net0", "nic", "name=eth0", *options).ok()
    lxc("start", box).ok()
    host_name = config(daemon, box)["volatile.net0.host_name"]
    shown = chains.listed(daemon, "netdev", "egress", f"{box}.net0")
    assert "limit rate over 1000000 bytes/second" in shown or "limit rate over 976" in shown
    assert "meta priority set" in shown
    received: list[int] = []

    def count(connection: socket.socket) -> None:
        with connection:
            received.append(sum(iter(lambda: len(connection.recv(1 << 16)), 0)))

    with serving(listener(("169.254.0.1", 0)), count) as server:
        out = socket_in(_pid(daemon, box), lambda: socket.create_connection(server.getsockname()))
        start = time.monotonic()
        with out, suppress(OSError):
            out.sendall(bytes(3 << 20))
            out.shutdown(socket.SHUT_WR)
            out.recv(1)
        took_s = time.monotonic() - start
    assert took_s > 1.5, f"3 MiB in {took_s:.2f} s at 1 MB/s"
    lxc("config", "device", "set", box, "net0", "limits.egress=").ok()
    assert config(daemon, box)["volatile.net0.host_name"] == host_name
    assert "limit" not in chains.listed(daemon, "netdev", "egress", f"{box}.net0")
    lxc("stop", "--force", box).ok()
    assert chains.listed(daemon, "netdev", "egress", f"{box}.net0") == ""


# What is refused


def test_a_second_nic_on_one_network_is_refused(either: Lxc, daemon: Daemon, running: str) -> None:
    text = f'Failed add validation for device "eth1": Instance DNS name "{running}" already used on network'
    either("config", "device", "add", running, "eth1", "nic", f"network={daemon.bridge}").failed(text)
    options = ["nictype=bridged", f"parent={daemon.bridge}"]
    either("config", "device", "add", running, "eth1", "nic", *options).failed(text)


def test_a_second_nic_on_another_vlan_of_the_network_is_taken(lxc: Lxc, daemon: Daemon, box: str) -> None:
    lxc("config", "device", "add", box, "eth1", "nic", f"network={daemon.bridge}").ok()
    lxc("config", "device", "add", box, "eth2", "nic", f"network={daemon.bridge}").failed("already used on network")
    done = lxc("config", "device", "add", box, "eth2", "nic", f"network={daemon.bridge}", "vlan=none")
    assert done.status == 0 or "cannot tell VLANs apart" in done.stderr, done.stderr


def test_a_hardware_address_of_another_nic_is_refused(lxc: Lxc, daemon: Daemon, running: str, image: str) -> None:
    box = f"{running}-b"
    lxc("init", image, box).ok()
    lxc("config", "device", "add", box, "eth0", "none").ok()
    known = config(daemon, running)["volatile.eth0.hwaddr"]
    text = f'MAC address "{known}" already defined on another NIC'
    options = [f"network={daemon.bridge}", f"hwaddr={known}"]
    lxc("config", "device", "add", box, "net0", "nic", *options).failed(text)


@pytest.mark.parametrize("kind", ["macvlan", "physical", "ipvlan", "routed", "sriov", "bridged"])
def test_a_parent_that_is_not_there_is_told(lxc: Lxc, box: str, kind: str) -> None:
    missing = f"no{secrets.token_hex(3)}"
    options = [f"nictype={kind}", f"parent={missing}", *(["ipv4.address=10.1.2.3"] if kind == "routed" else [])]
    text = f'Parent device "{missing}" doesn\'t exist'
    added = lxc("config", "device", "add", box, "net0", "nic", *options)
    if added.status == 0:
        lxc("start", box).failed(text)
    else:
        added.failed(text)


@pytest.mark.skipif(Path("/proc/net/vlan").exists(), reason="this kernel has VLANs: tests/vm")
def test_a_kernel_without_vlans_is_told(lxc: Lxc, daemon: Daemon, box: str, cabled: Lan) -> None:
    options = ["nictype=macvlan", f"parent={cabled.parent}", "vlan=5"]
    lxc("config", "device", "add", box, "net0", "nic", *options).ok()
    lxc("start", box).failed("this kernel has no VLANs (CONFIG_VLAN_8021Q)")
    lxc("config", "device", "remove", box, "net0").ok()
    bridged = [f"network={daemon.bridge}", "vlan=5"]
    lxc("config", "device", "add", box, "net0", "nic", *bridged).failed("CONFIG_BRIDGE_VLAN_FILTERING")


def _has_ipvlan(parent: str) -> bool:
    made = processes.run(["ip", "link", "add", "lvtprobe", "link", parent, "type", "ipvlan", "mode", "l3s"])
    processes.run(["ip", "link", "delete", "lvtprobe"])
    return made.status == 0


def test_a_kernel_without_ipvlan_is_told(lxc: Lxc, box: str, cabled: Lan) -> None:
    if _has_ipvlan(cabled.parent):
        pytest.skip("this kernel has ipvlan: tests/vm")
    for version, key in (("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "proxy_ndp")):
        cabled.sysctl(version, key, "1")
    options = ["nictype=ipvlan", f"parent={cabled.parent}", "ipv4.address=10.233.9.77"]
    lxc("config", "device", "add", box, "net0", "nic", *options).ok()
    lxc("start", box).failed("this kernel has no ipvlan (CONFIG_IPVLAN")


def test_a_card_without_virtual_functions_is_told(lxc: Lxc, box: str, cabled: Lan) -> None:
    lxc("config", "device", "add", box, "net0", "nic", "nictype=sriov", f"parent={cabled.parent}").ok()
    lxc("start", box).failed(f'Parent device "{cabled.parent}" doesn\'t support SR-IOV')


def test_what_cannot_be_had_is_told_while_it_runs_too(either: Lxc, daemon: Daemon, running: str, cabled: Lan) -> None:
    add = ("config", "device", "add", running, "d")
    either(*add, "nic", "nictype=sriov", f"parent={cabled.parent}").failed("doesn't support SR-IOV")
    either(*add, "infiniband", "nictype=physical", "parent=ib77").failed('Parent device "ib77" doesn\'t exist')
    either(*add, "gpu", "gputype=mig", "mig.uuid=e91edf3b-b297-37c1-a2a7-7601c3238fa2").failed(
        "(MIG) are not given out"
    )
    if not Path("/dev/vtpmx").exists():
        either(*add, "tpm", "path=/dev/tpm0", "pathrm=/dev/tpmrm0").failed("CONFIG_TCG_VTPM_PROXY")
    options = ["nictype=ipvlan", f"parent={cabled.parent}", "ipv4.address=10.233.9.77"]
    either(*add, "nic", *options).failed("Device cannot be added when instance is running")
    assert "d" not in daemon.request("GET", f"/1.0/instances/{running}").metadata["devices"]
