"""`lxd init` in each of its ways, on a daemon that nobody set up."""

from __future__ import annotations

import yaml

from tests.harness.certificates import make
from tests.harness.daemon import Daemon
from tests.harness.network import Network, free_port


def preseed(daemon: Daemon, **more: object) -> str:
    config = {"ipv4.address": "auto", "ipv6.address": "none"}
    networks = [{"name": daemon.bridge, "type": "bridge", "config": config}]
    pools = [{"name": "default", "driver": "dir"}]
    return yaml.safe_dump({"networks": networks, "storage_pools": pools, **more})


def test_a_preseed_is_applied_dumped_and_applied_again(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    devices = {"root": {"type": "disk", "path": "/", "pool": "default"}}
    document = preseed(bare_daemon, profiles=[{"name": "default", "devices": devices}, {"name": "more"}])
    done = bare_daemon.run("init", "--preseed", stdin=document).ok()
    assert done.stdout == ""
    first = bare_daemon.run("init", "--dump").ok().stdout
    found = yaml.safe_load(first)
    assert list(found) == ["config", "networks", "storage_pools", "profiles", "projects"]
    assert found["networks"][0]["name"] == bare_daemon.bridge
    assert found["networks"][0]["config"]["ipv4.address"].startswith("10.")
    assert [one["name"] for one in found["profiles"]] == ["default", "more"]
    bare_daemon.run("init", "--preseed", stdin=document).ok()
    bare_daemon.run("init", "--preseed", stdin=first).ok()
    assert bare_daemon.run("init", "--dump").ok().stdout == first


def test_what_was_made_is_taken_back_when_a_later_part_fails(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    before = bare_daemon.run("init", "--dump").ok().stdout
    bad = {"name": "bad", "devices": {"eth0": {"type": "nic", "network": "nosuch"}}}
    document = preseed(bare_daemon, config={"user.mark": "set"}, profiles=[{"name": "good"}, bad])
    failed = bare_daemon.run("init", "--preseed", stdin=document).failed('Failed to create profile "bad"')
    assert "nosuch" in failed.stderr
    assert bare_daemon.run("init", "--dump").ok().stdout == before


def test_a_pool_of_another_driver_is_not_changed(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    bare_daemon.run("init", "--preseed", stdin=preseed(bare_daemon)).ok()
    document = yaml.safe_dump({"storage_pools": [{"name": "default", "driver": "overlay"}]})
    text = 'Storage pool "default" is of type "dir" instead of "overlay"'
    bare_daemon.run("init", "--preseed", stdin=document).failed(text)


def test_minimal_sets_up_once(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    assert bare_daemon.run("init", "--minimal").ok().stdout == ""
    first = bare_daemon.run("init", "--dump").ok().stdout
    assert yaml.safe_load(first)["profiles"][0]["devices"]["root"]["pool"] == "default"
    bare_daemon.run("init", "--auto").ok()
    assert bare_daemon.run("init", "--dump").ok().stdout == first


def test_flags_that_exclude_each_other_are_refused(bare_daemon: Daemon) -> None:
    for words, text in (
        (("--auto", "--preseed"), "Error: Can't use --auto and --preseed together"),
        (("--auto", "--dump"), "Error: Can't use --dump with other flags"),
        (("--storage-backend=dir",), "Error: Configuration flags require --auto"),
    ):
        bare_daemon.run("init", *words).failed(text)


def test_auto_lets_clients_in_over_the_network(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    network = Network(free_port())
    more = ("--network-address", "127.0.0.1", "--network-port", str(network.port), "--trust-password", "geheim")
    bare_daemon.run("init", "--auto", "--storage-backend", "dir", *more).ok()
    ours = make()
    assert network.request(ours, "GET", "/1.0/instances").status == 403
    assert network.request(ours, "POST", "/1.0/certificates", {"type": "client", "password": "geheim"}).status == 201
    assert network.request(ours, "GET", "/1.0/instances").metadata == []


def test_questions_without_answers_end(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    bare_daemon.run("init", stdin="no\n").failed("Error: the input ended before the last answer")
    assert bare_daemon.request("GET", "/1.0/storage-pools").metadata == []
