"""Devices of an instance while it runs, is stopped, is renamed and is deleted."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import leaks, processes
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.conditions import address_of, leases_of
from tests.harness.daemon import BRIDGE_PREFIX, Daemon
from tests.harness.processes import eventually


@pytest.fixture
def shared(daemon: Daemon, name: str) -> Iterator[Path]:
    """A directory of the host with a note in it."""
    folder = daemon.state / f"shared-{name}"
    folder.mkdir()
    note = folder / "note"
    note.write_text("from the host")
    folder.chmod(0o755)
    yield folder
    note.unlink()
    folder.rmdir()


@pytest.fixture
def bridge(daemon: Daemon) -> Iterator[str]:
    """One more network."""
    chosen = f"{BRIDGE_PREFIX}{secrets.token_hex(3)}"
    body = {"name": chosen, "type": "bridge", "config": {"ipv4.address": "auto", "ipv6.address": "none"}}
    assert daemon.request("POST", "/1.0/networks", body).status == 201
    yield chosen
    daemon.request("DELETE", f"/1.0/networks/{chosen}")


def config(daemon: Daemon, name: str) -> dict[str, str]:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]


def add(lxc: Lxc, name: str, *words: str) -> None:
    lxc("config", "device", "add", name, *words).ok()


# Disks


def test_a_plugged_disk_is_as_one_from_the_start(lxc: Lxc, running: str, shared: Path) -> None:
    add(lxc, running, "d", "disk", f"source={shared}", "path=deep/er/place", "readonly=true")
    assert lxc.run(running, "cat", "/deep/er/place/note").stdout == "from the host"
    assert "Read-only" in lxc.run(running, "touch", "/deep/er/place/new").stderr
    before = lxc.run(running, "grep", "/deep/er/place", "/proc/mounts").stdout
    assert lxc.run(running, "stat", "-c", "%u", "/deep").stdout == "0\n"
    lxc("restart", "--force", running).ok()
    assert lxc.run(running, "grep", "/deep/er/place", "/proc/mounts").stdout == before
    lxc("config", "device", "remove", running, "d").ok()
    assert lxc.run(running, "grep", "/deep/er/place", "/proc/mounts").status != 0


def test_a_file_is_shown_as_a_file(lxc: Lxc, running: str, shared: Path) -> None:
    add(lxc, running, "d", "disk", f"source={shared / 'note'}", "path=/etc/note")
    assert lxc.run(running, "cat", "/etc/note").stdout == "from the host"
    lxc("config", "device", "remove", running, "d").ok()
    assert lxc.run(running, "cat", "/etc/note").stdout == ""


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_a_shifted_disk_belongs_to_the_root_inside(lxc: Lxc, running: str, shared: Path, moment: str) -> None:
    add(lxc, running, "d", "disk", f"source={shared}", "path=/mnt", "shift=true")
    if moment == "started":
        lxc("restart", "--force", running).ok()
    assert lxc.run(running, "stat", "-c", "%u", "/mnt/note").stdout == "0\n"
    lxc.run(running, "sh", "-c", "echo more >>/mnt/note")
    assert (shared / "note").read_text() == "from the hostmore\n"


def test_a_disk_moves_when_its_path_changes(lxc: Lxc, running: str, shared: Path) -> None:
    add(lxc, running, "d", "disk", f"source={shared}", "path=/one")
    lxc("config", "device", "set", running, "d", "path=/two").ok()
    assert lxc.run(running, "cat", "/two/note").stdout == "from the host"
    assert lxc.run(running, "cat", "/one/note").status != 0


def test_a_link_of_the_guest_leads_nowhere_outside(lxc: Lxc, running: str, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    lxc.run(running, "mkdir", "-p", f"{tmp_path}/trap")
    lxc.run(running, "ln", "-s", f"../../..{tmp_path}/trap", "/trap")
    add(lxc, running, "d", "disk", f"source={shared}", "path=/trap/in")
    assert list((tmp_path / "trap").iterdir()) == []
    assert lxc.run(running, "cat", f"{tmp_path}/trap/in/note").stdout == "from the host"


def test_a_disk_without_its_source_is_refused(lxc: Lxc, daemon: Daemon, image: str, running: str, name: str) -> None:
    text = 'Failed add validation for device "d": Missing source path "/nosuch" for disk "d"'
    lxc("config", "device", "add", running, "d", "disk", "source=/nosuch", "path=/mnt").failed(text)
    assert lxc("config", "device", "list", running).stdout == "\n"
    other = f"{name}-b"
    devices = {"d": {"type": "disk", "source": "/nosuch", "path": "/mnt"}}
    body = {"name": other, "source": {"type": "image", "alias": image}, "devices": devices}
    assert text in daemon.operation("POST", "/1.0/instances", body)["err"]
    assert other not in lxc.statuses()
    add(lxc, running, "d", "disk", "source=/nosuch", "path=/mnt", "required=false")


def test_a_change_that_fails_leaves_all_as_it_was(lxc: Lxc, daemon: Daemon, running: str, shared: Path) -> None:
    add(lxc, running, "a", "disk", f"source={shared}", "path=/a")
    url = f"/1.0/instances/{running}"
    shown = daemon.request("GET", url).metadata
    devices = {
        "b": {"type": "disk", "source": str(shared), "path": "/b"},
        "c": {"type": "nic", "nictype": "bridged", "parent": "nosuch"},
    }
    body = {"config": {**shown["config"], "limits.memory": "64MiB"}, "devices": devices, "profiles": ["default"]}
    finished = daemon.operation("PUT", url, {**body, "architecture": shown["architecture"]})
    assert finished["err"] == 'Failed to start device "c": Parent device "nosuch" doesn\'t exist'
    after = daemon.request("GET", url).metadata
    assert set(after["devices"]) == {"a"}
    assert "limits.memory" not in after["config"]
    assert lxc.run(running, "cat", "/a/note").stdout == "from the host"
    assert lxc.run(running, "cat", "/b/note").status != 0


# Network cards


def test_a_card_is_plugged_and_unplugged(either: Lxc, daemon: Daemon, running: str, bridge: str) -> None:
    add(either, running, "second", "nic", "nictype=bridged", f"parent={bridge}", "mtu=1400")
    seen = config(daemon, running)
    assert seen["volatile.second.name"] == "eth1"
    shown = either("exec", running, "--", "ip", "link", "show", "eth1").ok().stdout
    assert seen["volatile.second.hwaddr"] in shown
    assert "mtu 1400" in shown
    assert "UP" in shown
    host_name = seen["volatile.second.host_name"]
    assert f"master {bridge}" in processes.run(["ip", "link", "show", host_name]).ok().stdout
    either("config", "device", "remove", running, "second").ok()
    assert either("exec", running, "--", "ip", "link", "show", "eth1").status != 0
    assert processes.run(["ip", "link", "show", host_name]).status != 0
    assert not [key for key in config(daemon, running) if key.startswith("volatile.second.")]


def test_a_plugged_card_gets_an_address(lxc: Lxc, daemon: Daemon, running: str, bridge: str) -> None:
    network = daemon.request("GET", f"/1.0/networks/{bridge}").metadata["config"]["ipv4.address"]
    wanted = network.rpartition(".")[0] + ".42"
    add(lxc, running, "second", "nic", f"network={bridge}", f"ipv4.address={wanted}")
    lxc.run(running, "udhcpc", "-q", "-n", "-i", "eth1", "-s", "/etc/dhcp")
    assert wanted in lxc.run(running, "ip", "addr", "show", "eth1").stdout
    assert wanted in leases_of(daemon, bridge, running)
    lxc("config", "device", "remove", running, "second").ok()
    assert leases_of(daemon, bridge, running) == []


def limits_of(daemon: Daemon, name: str) -> str:
    host_name = config(daemon, name)["volatile.eth0.host_name"]
    return processes.run(["tc", "class", "show", "dev", host_name]).ok().stdout


def test_limits_of_a_card_change_while_it_is_plugged(either: Lxc, daemon: Daemon, running: str) -> None:
    host_name = config(daemon, running)["volatile.eth0.host_name"]
    either("config", "device", "override", running, "eth0", "limits.ingress=10Mbit").ok()
    assert config(daemon, running)["volatile.eth0.host_name"] == host_name, "the same cable"
    assert "rate 10Mbit" in limits_of(daemon, running)
    either("config", "device", "set", running, "eth0", "limits.ingress=20Mbit").ok()
    assert "rate 20Mbit" in limits_of(daemon, running)
    either("config", "device", "unset", running, "eth0", "limits.ingress").ok()
    assert limits_of(daemon, running) == ""


def test_a_card_keeps_its_hardware_address_when_it_moves(lxc: Lxc, daemon: Daemon, running: str, bridge: str) -> None:
    before = config(daemon, running)["volatile.eth0.hwaddr"]
    lxc("config", "device", "override", running, "eth0", f"network={bridge}").ok()
    assert config(daemon, running)["volatile.eth0.hwaddr"] == before
    assert before in lxc.run(running, "ip", "link", "show", "eth0").stdout
    assert not list((daemon.state / "networks" / daemon.bridge).glob(f"dnsmasq.hosts/{running}.*"))
    assert list((daemon.state / "networks" / bridge).glob(f"dnsmasq.hosts/{running}.*"))


# Profiles


def test_a_profile_plugs_into_what_runs(stock: Lxc, running: str, shared: Path) -> None:
    profile = f"p-{running}"
    stock("profile", "create", profile).ok()
    try:
        stock("profile", "add", running, profile).ok()
        stock("profile", "device", "add", profile, "d", "disk", f"source={shared}", "path=/mnt").ok()
        assert stock.run(running, "cat", "/mnt/note").stdout == "from the host"
        stock("config", "device", "add", running, "d", "none").ok()
        assert stock.run(running, "cat", "/mnt/note").status != 0
        stock("config", "device", "remove", running, "d").ok()
        assert stock.run(running, "cat", "/mnt/note").stdout == "from the host"
        stock("profile", "device", "remove", profile, "d").ok()
        assert stock.run(running, "cat", "/mnt/note").status != 0
    finally:
        stock("profile", "remove", running, profile)
        stock("profile", "delete", profile).ok()


# What outlives a stop


def test_a_card_has_its_hardware_address_from_the_beginning(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    lxc.create(image, name)
    hwaddr = config(daemon, name)["volatile.eth0.hwaddr"]
    assert hwaddr.startswith("00:16:3e:")
    lxc("start", name).ok()
    assert config(daemon, name)["volatile.eth0.hwaddr"] == hwaddr
    assert "volatile.eth0.host_name" in config(daemon, name)
    lxc("stop", "--force", name).ok()
    assert config(daemon, name)["volatile.eth0.hwaddr"] == hwaddr
    assert "volatile.eth0.host_name" not in config(daemon, name)


def test_reservations_follow_a_rename_and_end_with_the_instance(
    lxc: Lxc, daemon: Daemon, image: str, name: str
) -> None:
    hosts = daemon.state / "networks" / daemon.bridge / "dnsmasq.hosts"
    network = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]["ipv4.address"]
    wanted = network.rpartition(".")[0] + ".78"
    lxc.create(image, name)
    lxc("config", "device", "override", name, "eth0", f"ipv4.address={wanted}").ok()
    assert wanted in (hosts / f"{name}.eth0").read_text()
    lxc("rename", name, f"{name}-b").ok()
    assert not (hosts / f"{name}.eth0").exists()
    assert wanted in (hosts / f"{name}-b.eth0").read_text()
    lxc("delete", f"{name}-b").ok()
    assert not (hosts / f"{name}-b.eth0").exists()


def test_an_address_is_free_again_when_its_instance_is_deleted(lxc: Lxc, daemon: Daemon, running: str) -> None:
    address = address_of(daemon, running)
    hwaddr = config(daemon, running)["volatile.eth0.hwaddr"]
    given_out = daemon.state / "networks" / daemon.bridge / "dnsmasq.leases"
    eventually(lambda: f"{hwaddr} {address}" in given_out.read_text(), what="dnsmasq's note")
    lxc("delete", "--force", running).ok()
    eventually(lambda: hwaddr not in given_out.read_text(), what="the lease to be given back")
    # The kernel takes a cable away a moment after its container.
    eventually(lambda: leaks.of_instance(daemon, running) == [], what="nothing to be left of it")


def test_what_was_plugged_is_unplugged_by_the_next_daemon(fresh_daemon: Daemon, fresh_image: str) -> None:
    own = Lxc(OURS, {**fresh_daemon.env}, fresh_daemon.state)
    own.launch(fresh_image, "c1")
    folder = fresh_daemon.state / "shared"
    folder.mkdir()
    add(own, "c1", "d", "disk", f"source={folder}", "path=/mnt")
    add(own, "c1", "second", "nic", "nictype=p2p")
    host_name = config(fresh_daemon, "c1")["volatile.second.host_name"]
    fresh_daemon.kill()
    fresh_daemon.start()
    own("config", "device", "remove", "c1", "d").ok()
    own("config", "device", "remove", "c1", "second").ok()
    assert own.run("c1", "grep", "/mnt", "/proc/mounts").status != 0
    assert processes.run(["ip", "link", "show", host_name]).status != 0
    assert not (fresh_daemon.state / "devices" / "c1").exists()
    folder.rmdir()


def test_a_guests_own_reboot_keeps_what_was_plugged(lxc: Lxc, daemon: Daemon, running: str, shared: Path) -> None:
    add(lxc, running, "d", "disk", f"source={shared}", "path=/mnt")
    lxc("config", "device", "override", running, "eth0", "limits.ingress=10Mbit").ok()
    pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    lxc.run(running, "reboot", "-f")

    def rebooted() -> bool:
        state = daemon.request("GET", f"/1.0/instances/{running}/state").metadata
        return state["status"] == "Running" and state["pid"] not in (0, pid)

    eventually(rebooted, what="another init")
    assert lxc.run(running, "cat", "/mnt/note").stdout == "from the host"
    eventually(lambda: "rate 10Mbit" in limits_of(daemon, running), what="the limit")
    lxc("config", "device", "remove", running, "d").ok()
    lxc.run(running, "reboot", "-f")
    eventually(lambda: lxc.run(running, "true").status == 0, what="the instance to be back")
    assert lxc.run(running, "cat", "/mnt/note").status != 0


# One packet is enough: dnsmasq is configured for rapid commit. Arguments: interface, hardware address.
ASK6 = """\
import socket, struct, sys
index, duid = socket.if_nametoindex(sys.argv[1]), bytes.fromhex("000100012c000000" + sys.argv[2].replace(":", ""))
option = lambda kind, value: struct.pack("!HH", kind, len(value)) + value
channel = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
channel.bind(("::", 546, 0, index))
channel.settimeout(1)
body = option(1, duid) + option(3, struct.pack("!III", 1, 0, 0)) + option(14, b"") + option(8, bytes(2))
channel.sendto(bytes([1, 0, 0, 1]) + body, ("ff02::1:2", 547, 0, index))
print(channel.recv(1500)[0])
"""


def test_an_ipv6_address_is_given_back_too(lxc: Lxc, daemon: Daemon, running: str, bridge: str) -> None:
    network = secrets.token_hex(2)
    stateful = {"ipv6.address": f"fd42:77:{network}::1/64", "ipv6.dhcp.stateful": "true"}
    assert daemon.request("PATCH", f"/1.0/networks/{bridge}", {"config": stateful}).status == 200
    add(lxc, running, "second", "nic", f"network={bridge}")
    pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    hwaddr = config(daemon, running)["volatile.second.hwaddr"]
    enter = ["nsenter", f"--target={pid}", "--net", sys.executable, "-c", ASK6, "eth1", hwaddr]
    eventually(lambda: processes.run(enter).stdout == "7\n", what="an address to send from, and a reply")
    given_out = daemon.state / "networks" / bridge / "dnsmasq.leases"
    eventually(lambda: hwaddr in given_out.read_text(), what="dnsmasq's note")
    lxc("config", "device", "remove", running, "second").ok()
    eventually(lambda: hwaddr not in given_out.read_text(), what="the lease to be given back")
