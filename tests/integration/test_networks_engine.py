"""Bridges for real: addresses, DHCP, DNS, NAT, crashes and deletion, without a daemon. Needs root."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from lightervisor.db.database import Database
from lightervisor.db.instances import InstanceRows
from lightervisor.db.networks import NetworkRow, NetworkRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.db.warnings import WarningRows
from lightervisor.devices.device import InstanceFacts, load_device
from lightervisor.devices.lifecycle import start_devices, stop_devices
from lightervisor.devices.ports import BridgePort, HostEntry
from lightervisor.errors import Failure, HostError, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.kernel.netlink import NamespaceLinks, Netlink
from lightervisor.model.network import NetworkPut, NetworksPost
from lightervisor.networks.drivers import dnsmasq
from lightervisor.networks.drivers.bridge import Bridge
from lightervisor.networks.managed import Networks
from lightervisor.networks.state import instance_networks
from lightervisor.networks.users import NetworkUsers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes bridges: needs root")
MAC = "00:16:3e:4c:56:54"


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class Parts:
    """The service with what it is made of."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root / "lxd.db")
        self.database.open()
        self.rows = NetworkRows(self.database)
        self.profiles = ProfileRows(self.database)
        self.warnings = WarningRows(self.database)
        self.directory = root / "networks"
        self.service = self.again()

    def again(self) -> Networks:
        """A service as a restarted daemon would make it."""
        users = NetworkUsers(InstanceRows(self.database), self.profiles)
        return Networks(self.rows, users, Events(), self.warnings, self.directory)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    found = Parts(tmp_path)
    yield found
    for row in found.rows.list():
        await found.profiles.replace(ProfileRow(project="default", name="default"))
        await found.service.delete(row.name)
    found.database.close()


@pytest.fixture
def name() -> str:
    return f"lvt-{secrets.token_hex(4)}"


@pytest.fixture
def guest(name: str) -> Iterator["Guest"]:
    one = Guest(name)
    yield one
    one.leave()


class Guest:
    """A network namespace with one cable, as a container has."""

    def __init__(self, bridge: str) -> None:
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up; exec sleep 600"])
        self.bridge, self.host_end = bridge, f"lvg-{bridge[-8:]}"

    def plug(self) -> None:
        with closing(Netlink()) as host:
            while Path(f"/proc/{self.process.pid}/ns/net").samefile("/proc/self/ns/net"):
                os.sched_yield()
            host.create_veth(self.host_end, f"{self.host_end}p")
            host.set(f"{self.host_end}p", namespace_pid=self.process.pid)
            host.set(self.host_end, master=self.bridge, up=True)
        self("ip", "link", "set", f"{self.host_end}p", "name", "eth0", "address", MAC, "up")

    def __call__(self, *argv: str) -> str:
        return run("nsenter", f"--net=/proc/{self.process.pid}/ns/net", *argv)

    def ask_dhcp(self) -> str:
        return self.told_by_dhcp()[-1]

    def told_by_dhcp(self) -> list[str]:
        """Router, domains to search, and the address."""
        script = ["-s", str(Path(__file__).with_name("udhcpc_print.sh"))]
        said = self("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "10", "-T", "1", "-O", "search", *script)
        return said.strip().splitlines()[-3:]

    def leave(self) -> None:
        self.process.kill()
        self.process.wait()
        with closing(Netlink()) as host:
            host.delete(self.host_end)


def chains(name: str) -> dict[str, list[Any]]:
    listing = json.loads(run("nft", "-j", "list", "ruleset"))["nftables"]
    found: dict[str, list[Any]] = {one["chain"]["name"]: [] for one in listing if "chain" in one}
    for one in listing:
        if "rule" in one:
            found.setdefault(one["rule"]["chain"], []).append(one["rule"]["expr"])
    return {chain: rules for chain, rules in found.items() if chain.endswith(f".{name}")}


def pid_of(parts: Parts, name: str) -> int | None:
    path = parts.directory / name / "dnsmasq.pid"
    return int(path.read_text()) if path.exists() else None


async def test_a_new_bridge_serves_an_address_a_name_and_nat(parts: Parts, name: str, guest: Guest) -> None:
    await parts.service.create(NetworksPost(name=name))
    network = parts.service.get(name)
    gateway = ip_interface(network.config["ipv4.address"])
    assert (network.managed, network.status, network.type) == (True, "Created", "bridge")
    assert {one.address for one in parts.service.state(name).addresses} >= {str(gateway.ip)}
    assert "masquerade" in json.dumps(chains(name)[f"pstrt.{name}"])

    port = parts.service.port({"network": name})
    assert isinstance(port, BridgePort)
    assert port.hosts is not None
    port.hosts.put(HostEntry(owner="c1.eth0", hwaddr=MAC, hostname="c1", ipv4=str(gateway.ip + 76)))
    guest.plug()
    address = guest.ask_dhcp()
    assert address == str(gateway.ip + 76)
    guest("ip", "address", "add", f"{address}/24", "dev", "eth0")
    assert address in guest("busybox", "nslookup", "c1.lxd", str(gateway.ip))
    assert str(gateway.ip) in guest("busybox", "nslookup", "_gateway.lxd", str(gateway.ip))
    leases = {lease.address: lease for lease in await parts.service.leases(name)}
    assert (leases[address].hostname, leases[address].hwaddr, leases[address].type) == ("c1", MAC, "dynamic")
    assert leases[str(gateway.ip)].type == "gateway"

    await parts.service.delete(name)
    with pytest.raises(NotFound, match="Network not found"):
        parts.service.get(name)
    assert chains(name) == {}
    assert not (parts.directory / name).exists()
    assert name not in run("ip", "-o", "link")


async def test_what_guests_are_told_and_where_they_go_out(parts: Parts, name: str, guest: Guest) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    config = parts.service.get(name).config
    subnet = ip_interface(config["ipv4.address"]).network
    outside = {"ipv4.nat.address": "192.0.2.7", "ipv4.nat.order": "after", "ipv4.routes": "10.255.77.0/24"}
    told = {"ipv4.dhcp.gateway": str(subnet[9]), "dns.search": "one.example,two.example"}
    await parts.service.replace(name, NetworkPut(config={**config, **outside, **told, "ipv4.firewall": "false"}))
    guest.plug()
    router, search, _ = guest.told_by_dhcp()
    assert (router, search) == (f"router {subnet[9]}", "search one.example two.example")
    assert {"snat": {"family": "ip", "addr": "192.0.2.7"}} in chains(name)[f"pstrt.{name}"][0]
    assert not chains(name).get(f"fwd.{name}")
    assert name in run("ip", "route", "show", "10.255.77.0/24")
    await parts.service.replace(name, NetworkPut(config=config))
    assert run("ip", "route", "show", "10.255.77.0/24") == ""
    assert "masquerade" in json.dumps(chains(name)[f"pstrt.{name}"])
    assert chains(name)[f"fwd.{name}"]


async def test_a_change_is_on_the_host_at_once(parts: Parts, name: str) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    first = pid_of(parts, name)
    await parts.service.merge(name, NetworkPut(config={"user.note": "x"}))
    assert pid_of(parts, name) == first  # nothing that dnsmasq needs to know
    await parts.service.merge(
        name, NetworkPut(config={"ipv4.address": "auto", "ipv4.nat": "false", "bridge.mtu": "1400"})
    )
    config = parts.service.get(name).config
    state = parts.service.state(name)
    assert [f"{one.address}/{one.netmask}" for one in state.addresses if one.family == "inet"] == [
        config["ipv4.address"]
    ]
    assert state.mtu == 1400
    assert f"pstrt.{name}" not in chains(name)
    assert pid_of(parts, name) != first


async def test_a_refused_change_leaves_what_was(parts: Parts, name: str) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    before = parts.service.get(name).config
    for bad in ({"ipv4.address": "127.0.0.5/8"}, {"raw.dnsmasq": "no-such-option"}, {"bogus": "1"}):
        with pytest.raises(Failure):
            await parts.service.merge(name, NetworkPut(config=bad))
        assert parts.service.get(name).config == before
    assert pid_of(parts, name) is not None
    with dnsmasq.running(parts.directory / name) as pidfd:
        assert pidfd is not None


async def test_a_failed_creation_leaves_nothing(parts: Parts, name: str) -> None:
    with pytest.raises(Failure, match=r"bad option|no-such-option"):
        await parts.service.create(NetworksPost(name=name, config={"raw.dnsmasq": "no-such-option"}))
    assert parts.rows.list() == []
    assert chains(name) == {}
    assert name not in run("ip", "-o", "link")
    assert not (parts.directory / name).exists()


async def test_a_restarted_daemon_interrupts_nothing_and_repairs_what_is_gone(parts: Parts, name: str) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    first = pid_of(parts, name)
    assert await parts.again().start_all() == []
    assert pid_of(parts, name) == first
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with closing(Netlink()) as host:
        host.delete(name)
    rules = chains(name)
    assert await parts.again().start_all() == []
    assert parts.service.state(name).state == "up"
    assert chains(name) == rules
    with dnsmasq.running(parts.directory / name) as pidfd:
        assert pidfd is not None


async def test_a_network_that_never_stood_is_removed_at_the_next_start(parts: Parts, name: str) -> None:
    await parts.rows.add(NetworkRow(name=name, config={"ipv4.address": "none", "ipv6.address": "none"}))
    with closing(Netlink()) as host:
        host.create_bridge(name)
    assert await parts.service.start_all() == []
    assert parts.rows.list() == []
    assert name not in run("ip", "-o", "link")


async def test_names_and_use_are_guarded(parts: Parts, name: str) -> None:
    none = {"ipv4.address": "none", "ipv6.address": "none"}
    await parts.service.create(NetworksPost(name=name, config=none))
    with pytest.raises(Invalid, match="The network already exists"):
        await parts.service.create(NetworksPost(name=name))
    with pytest.raises(Invalid, match="already exists"):
        await parts.service.create(NetworksPost(name="eth0"))
    devices = {"eth0": {"type": "nic", "network": name}}
    await parts.profiles.replace(ProfileRow(project="default", name="default", devices=devices))
    assert parts.service.get(name).used_by == ["/1.0/profiles/default"]
    with pytest.raises(Invalid, match="The network is currently in use"):
        await parts.service.delete(name)
    with pytest.raises(Invalid, match="Network is currently in use"):
        await parts.service.rename(name, f"{name}x")
    await parts.profiles.replace(ProfileRow(project="default", name="default"))
    await parts.service.rename(name, f"{name}x")
    assert [row.name for row in parts.rows.list()] == [f"{name}x"]
    links = run("ip", "-o", "link")
    assert f" {name}x:" in links
    assert f" {name}:" not in links


@pytest.mark.parametrize("step", ["files", "row", "service"])
async def test_a_rename_that_fails_is_taken_back(
    parts: Parts, name: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    lease = f"9999999999 {MAC} 10.0.0.9 c1 *\n"
    (parts.directory / name / "dnsmasq.leases").write_text(lease)
    steps: dict[str, tuple[Any, str]] = {
        "files": (Bridge, "rename"), "row": (NetworkRows, "rename"), "service": (dnsmasq, "ensure")
    }  # fmt: skip
    rules, (owner, attribute) = chains(name), steps[step]
    original = getattr(owner, attribute)
    answers = iter([HostError("test", cause="refused")])

    def refuse(*arguments: object, **named: object) -> object:
        if (error := next(answers, None)) is not None:
            raise error
        return original(*arguments, **named)

    monkeypatch.setattr(owner, attribute, refuse)
    with pytest.raises(HostError, match="refused"):
        await parts.service.rename(name, f"{name}x")
    assert [row.name for row in parts.rows.list()] == [name]
    assert chains(name) == rules
    assert chains(f"{name}x") == {}
    assert f"{name}x:" not in run("ip", "-o", "link")
    assert pid_of(parts, name) is not None
    assert (parts.directory / name / "dnsmasq.leases").read_text() == lease
    assert not (parts.directory / f"{name}x").exists()


async def test_what_a_crash_in_a_rename_left_goes_at_the_next_start(parts: Parts, name: str) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv6.address": "none"}))
    await parts.service.stop_all()
    (parts.directory / name).rename(parts.directory / f"{name}x")
    assert await parts.again().start_all() == []
    assert [entry.name for entry in parts.directory.iterdir()] == [name]
    assert pid_of(parts, name) is not None


async def test_a_network_that_cannot_stand_is_a_warning_until_it_does(parts: Parts, name: str) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv4.address": "none", "ipv6.address": "none"}))
    for _ in range(2):
        await parts.service.stop_all()
        run("ip", "link", "add", name, "type", "veth", "peer", f"{name}p")
        assert await parts.again().start_all() == [name]
        assert [(one.type, one.status, one.severity) for one in parts.warnings.list()] == [
            ("Network unavailable", "new", "high")
        ]
        run("ip", "link", "delete", name)
        assert await parts.again().start_all() == []
        assert [one.status for one in parts.warnings.list()] == ["resolved"]


async def test_host_interfaces_are_listed_unmanaged(parts: Parts) -> None:
    shown = {network.name: network for network in parts.service.list()}
    assert (shown["lo"].type, shown["lo"].managed, shown["lo"].status) == ("loopback", False, "")
    assert parts.service.state("lo").type == "loopback"


async def test_the_state_of_a_guest_is_seen_from_outside(parts: Parts, name: str, guest: Guest) -> None:
    await parts.service.create(NetworksPost(name=name, config={"ipv4.address": "none", "ipv6.address": "none"}))
    guest.plug()
    guest("ip", "address", "add", "10.254.254.7/24", "dev", "eth0")
    with closing(NamespaceLinks(guest.process.pid)) as links:
        found = instance_networks(links)
        assert set(found) == {"lo", "eth0"}
        assert [one.address for one in found["eth0"].addresses if one.family == "inet"] == ["10.254.254.7"]
        assert (found["eth0"].hwaddr, found["eth0"].host_name) == (MAC, guest.host_end)
        assert (found["eth0"].state, found["eth0"].mtu) == ("up", 1500)
        guest.process.kill()
        guest.process.wait()
        assert instance_networks(links) == {}


def test_a_disk_is_staged_and_taken_back(tmp_path: Path) -> None:
    source, devices = tmp_path / "a source", tmp_path / "devices"
    source.mkdir()
    (source / "hello").write_text("hi")
    options = {"type": "disk", "path": "mnt/a-b", "source": str(source), "readonly": "true"}
    disk = load_device("data", options, InstanceFacts(name="c1", devices_dir=devices / "c1"))
    ((_, start),) = start_devices([disk])
    start_devices([disk])  # as after a crash
    key, entry = start.lines[0]
    assert key == "lxc.mount.entry"
    assert entry.endswith(" mnt/a-b none bind,create=dir,ro 0 0")
    stage = next((devices / "c1").iterdir())
    assert (stage / "hello").read_text() == "hi"
    with pytest.raises(OSError, match="Read-only"):
        (stage / "more").write_text("x")
    stop_devices([disk])
    stop_devices([disk])
    assert not (devices / "c1").exists()
    assert (source / "hello").exists()
