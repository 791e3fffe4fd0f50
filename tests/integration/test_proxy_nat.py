"""Proxies by NAT, and attempts to make a proxy reach what it must not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import free_port
from tests.harness.servers import ask, listener, listener_at, serving, socket_in

HERE = "127.0.0.1"


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def gateway(daemon: Daemon) -> str:
    return daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]["ipv4.address"].partition("/")[0]


def chains(name: str) -> list[str]:
    return [line for line in processes.run(["nft", "list", "table", "inet", "lxd"]).stdout.splitlines() if name in line]


@pytest.fixture
def box(lxc: Lxc, daemon: Daemon, image: str, name: str) -> str:
    """A running container with a static address."""
    lxc("init", image, name).ok()
    address = gateway(daemon).rpartition(".")[0] + ".77"
    lxc("config", "device", "override", name, "eth0", f"ipv4.address={address}").ok()
    lxc("start", name).ok()
    lxc("exec", name, "--", "ip", "address", "replace", f"{address}/24", "dev", "eth0").ok()
    return name


def inside(daemon: Daemon, name: str, make: Callable[[], socket.socket]) -> socket.socket:
    return socket_in(pid_of(daemon, name), make)


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_nat_leads_to_the_static_address(lxc: Lxc, daemon: Daemon, box: str, moment: str) -> None:
    outer = gateway(daemon)
    options = [f"listen=tcp:{outer}:7000-7001", "connect=tcp:0.0.0.0:8000,8001", "nat=true"]
    lxc("config", "device", "add", box, "web", "proxy", *options).ok()
    if moment == "started":
        lxc("restart", "--force", box).ok()
        own = outer.rpartition(".")[0] + ".77"
        lxc("exec", box, "--", "ip", "address", "replace", f"{own}/24", "dev", "eth0").ok()
    with serving(inside(daemon, box, lambda: listener(("0.0.0.0", 8001)))):
        assert ask(socket.create_connection((outer, 7001), 10), b"nat") == b"nat"
        # The instance itself, by the outer address: there and back through one port of the bridge.
        assert ask(inside(daemon, box, lambda: socket.create_connection((outer, 7001), 10)), b"self") == b"self"
    assert len(chains(f"{box}.web")) == 3
    lxc("config", "device", "remove", box, "web").ok()
    assert chains(f"{box}.web") == []


def test_rules_end_with_the_instance(lxc: Lxc, daemon: Daemon, box: str) -> None:
    outer = gateway(daemon)
    options = [f"listen=udp:{outer}:53", f"connect=udp:{outer.rpartition('.')[0]}.77:53", "nat=true"]
    lxc("config", "device", "add", box, "dns", "proxy", *options).ok()
    assert chains(f"{box}.dns")
    processes.run(["nft", "delete", "chain", "inet", "lxd", f"prert.{box}.dns"]).ok()
    daemon.restart()
    assert len(chains(f"{box}.dns")) == 3, "mended"
    lxc("stop", "--force", box).ok()
    assert chains(f"{box}.dns") == []


def test_nat_without_a_static_address_is_refused(lxc: Lxc, daemon: Daemon, running: str) -> None:
    options = [f"listen=tcp:{gateway(daemon)}:7000", "connect=tcp:10.9.9.9:80", "nat=true"]
    text = 'Connect IP "10.9.9.9" must be one of the instance\'s static IPv4 addresses'
    lxc("config", "device", "add", running, "p", "proxy", *options).failed(text)
    assert chains(f"{running}.p") == []


# What must not happen


@pytest.fixture
def secret(daemon: Daemon) -> Iterator[Path]:
    """A socket of the host's that only the host may reach."""
    path = daemon.state / "secret.socket"
    with serving(listener(str(path)), lambda one: one.sendall(b"secret") or one.close()):
        yield path
    path.unlink()


@pytest.mark.parametrize("trick", ["link", "proc"])
def test_a_path_of_the_guest_leads_nowhere_outside(
    lxc: Lxc, daemon: Daemon, running: str, secret: Path, trick: str
) -> None:
    outside = {"link": str(secret), "proc": f"/proc/1/root/../../../..{secret}"}[trick]
    lxc("exec", running, "--", "ln", "-s", outside, "/tmp/bait").ok()
    port = free_port()
    lxc("config", "device", "add", running, "p", "proxy", f"listen=tcp:{HERE}:{port}", "connect=unix:/tmp/bait").ok()
    assert ask(socket.create_connection((HERE, port)), b"") == b""
    # Once the guest has something there, it is what answers.
    lxc("exec", running, "--", "rm", "/tmp/bait").ok()
    with serving(listener_at(pid_of(daemon, running), "/tmp/bait")):
        assert ask(socket.create_connection((HERE, port)), b"mine") == b"mine"


def test_a_socket_that_listens_inside_is_not_made_outside(
    lxc: Lxc, daemon: Daemon, running: str, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir(mode=0o777)
    lxc("exec", running, "--", "ln", "-s", str(trap), "/tmp/out").ok()
    options = ["listen=unix:/tmp/out/made", f"connect=tcp:{HERE}:9", "bind=instance"]
    lxc("config", "device", "add", running, "p", "proxy", *options).failed("Error occurred when starting proxy device")
    assert list(trap.iterdir()) == []
    assert "p" not in daemon.request("GET", f"/1.0/instances/{running}").metadata["devices"]


def test_the_socket_of_somebody_else_stays(lxc: Lxc, daemon: Daemon, running: str, secret: Path) -> None:
    options = [f"listen=unix:{secret}", f"connect=tcp:{HERE}:9"]
    done = lxc("config", "device", "add", running, "p", "proxy", *options)
    done.failed(f"Failed to listen on {secret}: Address already in use")
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(secret))
    assert ask(client, b"") == b"secret"


def test_a_port_that_is_taken_is_told_and_nothing_stays(lxc: Lxc, daemon: Daemon, running: str) -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        options = [f"listen=tcp:{HERE}:{port}", f"connect=tcp:{HERE}:80"]
        text = (
            f'Failed to start device "p": Error occurred when starting proxy device: Failed to listen on {HERE}:{port}'
        )
        lxc("config", "device", "add", running, "p", "proxy", *options).failed(text)
    assert not list((daemon.state / "devices").glob(f"{running}/proxy*"))


def test_who_serves_the_instance_has_its_users_and_no_privileges(lxc: Lxc, daemon: Daemon, running: str) -> None:
    options = [f"listen=tcp:{HERE}:{free_port()}", f"connect=tcp:{HERE}:80"]
    lxc("config", "device", "add", running, "p", "proxy", *options).ok()
    (pid_file,) = (daemon.state / "devices" / running).glob("proxy.*")
    pid, init = int(pid_file.read_text()), pid_of(daemon, running)
    for namespace in ("user", "net"):
        assert Path(f"/proc/{pid}/ns/{namespace}").readlink() == Path(f"/proc/{init}/ns/{namespace}").readlink()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split()[0] != "0"
