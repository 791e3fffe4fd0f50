"""Rows B8-B10: instances of other servers, as they are typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import discard
from tests.harness.daemon import Daemon
from tests.harness.network import on_network
from tests.seeds.conftest import Shell

PASSWORD = "some-password"


@pytest.fixture
def foo(fresh_daemon: Daemon, daemon: Daemon, image: str, shell: Shell) -> Iterator[Daemon]:
    """Another server, with a container c1; the local one listens nowhere."""
    with on_network(fresh_daemon) as network:
        fresh_daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
        shell(f"lxc remote add foo {network.address} --accept-certificate --password {PASSWORD}").ok()
        shell(f"lxc image copy {image} foo: --alias box").ok()
        shell("lxc launch foo:box foo:c1 && lxc exec foo:c1 -- touch /root/mine").ok()
        yield fresh_daemon
        for name in ("c1", "c2", "local"):
            if name in daemon.instance_names():
                discard(daemon, name)


def test_b8_b9_a_container_is_stopped_there_and_copied_here(shell: Shell, foo: Daemon, daemon: Daemon) -> None:
    assert shell("lxc stop foo:c1 --force").ok().stdout == ""
    assert shell("lxc copy foo:c1 c2").ok().stdout == ""
    assert daemon.request("GET", "/1.0/instances/c2").metadata["status"] == "Stopped"
    assert foo.instance_names() == ["c1"]
    shell("lxc start c2 && lxc exec c2 -- test -e /root/mine").ok()


@pytest.mark.parametrize("target", ["local", "local:"])
def test_b10_a_container_is_moved_here(shell: Shell, foo: Daemon, daemon: Daemon, target: str) -> None:
    shell("lxc stop foo:c1 --force").ok()
    shell(f"lxc move foo:c1 {target}").ok()
    assert foo.instance_names() == []
    assert "c1" in daemon.instance_names()
    assert "local" not in daemon.instance_names()
    shell("lxc start c1 && lxc exec c1 -- test -e /root/mine").ok()


def test_b10_and_back_from_a_server_that_listens_nowhere(shell: Shell, foo: Daemon, daemon: Daemon) -> None:
    shell("lxc stop foo:c1 --force").ok()
    shell("lxc move foo:c1 local: && lxc move c1 foo:c2").ok()
    assert "c1" not in daemon.instance_names()
    assert foo.instance_names() == ["c2"]
