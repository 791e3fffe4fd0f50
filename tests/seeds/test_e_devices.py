"""Rows D17, E3, E8: ports, nodes of the host, and masking an inherited nic."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.conditions import address_of
from tests.harness.daemon import Daemon
from tests.harness.lan import lan
from tests.harness.network import free_port
from tests.harness.servers import ask, listener, serving, socket_in
from tests.seeds.conftest import Shell

KVM = Path("/dev/kvm")


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


TOOLS = {
    "iptables": (
        "iptables -t nat -I PREROUTING {match} -j DNAT --to-destination {target}",
        "iptables -t nat -D PREROUTING {match} -j DNAT --to-destination {target}",
        "-i {link} -p tcp --dport {port}",
    ),
    "nft": (
        "nft 'table ip {link} {{ chain p {{ type nat hook prerouting priority dstnat; "
        "{match} dnat to {target}; }}; }}'",
        "nft delete table ip {link}",
        "iifname {link} tcp dport {port}",
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_d17_a_port_is_published_by_hand(shell: Shell, daemon: Daemon, running: str, tool: str) -> None:
    """As typed, but for an interface that keeps the rule off other people's packets."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    address, port = address_of(daemon, running), free_port()
    with lan("10.235.3.1/24") as outside:
        processes.run(["ip", "address", "add", "10.235.3.2/24", "dev", outside.parent]).ok()
        outside("ip", "route", "add", "default", "via", "10.235.3.2").ok()
        add, remove, match = TOOLS[tool]
        words = {"match": match.format(link=outside.parent, port=port), "link": outside.parent}
        shell(add.format(target=f"{address}:8080", **words)).ok()
        try:
            with serving(socket_in(pid_of(daemon, running), lambda: listener(("0.0.0.0", 8080)))):
                client = socket_in(outside.pid, lambda: socket.create_connection(("10.235.3.2", port), 10))
                assert ask(client, b"published") == b"published"
        finally:
            shell(remove.format(target=f"{address}:8080", **words)).ok()


@pytest.mark.skipif(not KVM.exists(), reason="this host has no /dev/kvm")
def test_e3_a_node_of_the_host(shell: Shell, running: str) -> None:
    done = shell(f"lxc config device add {running} kvm unix-char path=/dev/kvm").ok()
    assert done.stdout == f"Device kvm added to {running}\n"
    assert shell(f"lxc exec {running} -- stat -c '%F %t:%T' /dev/kvm").ok().stdout == "character special file a:e8\n"


def test_e3_a_node_that_is_not_there_is_told(shell: Shell, running: str) -> None:
    text = 'Error: Failed to start device "kvm": '
    text += "The required device path doesn't exist and the major and minor settings are not specified"
    add = f"lxc config device add {running} kvm unix-char path=/dev/no-kvm"
    shell(add).failed(text)
    shell(f"lxc stop --force {running}").ok()
    assert shell(add).ok().stdout == f"Device kvm added to {running}\n"
    shell(f"lxc start {running}").failed(text)


def test_e8_none_masks_an_inherited_nic(shell: Shell, lxc: Lxc, running: str) -> None:
    profile = f"p-{running}"
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile device add {profile} eth1 nic nictype=p2p name=eth1").ok()
    try:
        shell(f"lxc profile add {running} {profile}").ok()
        assert lxc.run(running, "ip", "link", "show", "eth1").status == 0
        assert shell(f"lxc config device add {running} eth1 none").ok().stdout == f"Device eth1 added to {running}\n"
        assert lxc.run(running, "ip", "link", "show", "eth1").status != 0
        shell(f"lxc config device remove {running} eth1").ok()
        assert lxc.run(running, "ip", "link", "show", "eth1").status == 0
    finally:
        shell(f"lxc profile remove {running} {profile}")
        shell(f"lxc profile delete {profile}").ok()
