"""What `lxd init` makes of flags and of answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from lightervisor.daemon.init_answers import automatic, interactive
from lightervisor.daemon.init_host import Host, Wishes
from lightervisor.daemon.preseed import parse, to_yaml
from lightervisor.errors import Invalid, Unsupported

HOST = Host(drivers=["overlay", "dir"], interfaces={"eth0": "physical", "docker0": "bridge", "lxdbr0": "bridge"})


class Person:
    """Answers by a part of the question; "" takes the default."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers, self.asked, self.told = answers, list[str](), list[str]()

    def _next(self, question: str) -> str:
        self.asked.append(question)
        waiting = next((found for part, found in self.answers.items() if part in question), [])
        return waiting.pop(0) if waiting else ""

    def text(self, question: str, default: str = "", check: Callable[[str], str] | None = None) -> str:
        while True:
            answer = self._next(question) or default
            complaint = check(answer) if check else ""
            if not complaint:
                return answer
            self.told.append(complaint)

    def yes(self, question: str, *, default: bool) -> bool:
        return {"yes": True, "no": False}.get(self._next(question), default)

    def password(self, question: str) -> str:
        return self._next(question)

    def say(self, text: str) -> None:
        self.told.append(text)


def test_automatic_sets_up_what_is_missing() -> None:
    found = automatic(HOST)
    assert found["storage_pools"] == [{"config": {}, "description": "", "name": "default", "driver": "overlay"}]
    assert found["networks"][0]["name"] == "lxdbr1", "the first name that no interface has"
    assert found["networks"][0]["config"] == {"ipv4.address": "auto", "ipv6.address": "auto"}
    assert found["profiles"][0]["devices"] == {
        "root": {"type": "disk", "path": "/", "pool": "default"},
        "eth0": {"type": "nic", "name": "eth0", "network": "lxdbr1"},
    }


def test_a_host_on_which_no_driver_works_is_told_so() -> None:
    with pytest.raises(Unsupported, match="No storage backends available"):
        automatic(Host(drivers=[]))


def test_automatic_leaves_what_is_there() -> None:
    found = automatic(Host(drivers=["dir"], pools=["mine"], networks=["lxdbr0"], interfaces={"lxdbr0": "bridge"}))
    assert found == {"config": {}, "networks": [], "storage_pools": [], "profiles": [], "projects": []}


def test_automatic_listens_where_it_is_told() -> None:
    config = automatic(HOST, Wishes(network_address="10.0.0.1", trust_password="s3cret"))["config"]
    assert config == {"core.https_address": "10.0.0.1:8443", "core.trust_password": "s3cret"}


@pytest.mark.parametrize(
    ("typed", "bound"), [("all", "[::]"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("192.0.2.1", "192.0.2.1")]
)
def test_an_ipv6_address_gets_brackets(typed: str, bound: str) -> None:
    config = automatic(HOST, Wishes(network_address=typed, network_port="18443"))["config"]
    assert config == {"core.https_address": f"{bound}:18443"}


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        (Wishes(storage_backend="zfs"), "The requested backend 'zfs' isn't supported by lxd"),
        (Wishes(storage_backend="dir", storage_pool="x"), "may be used with the 'dir' backend"),
        (Wishes(network_port="8443"), "--network-port can't be used without --network-address"),
        (Wishes(trust_password="x"), "--trust-password can't be used without --network-address"),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_lxds_words(wishes: Wishes, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        automatic(HOST, wishes)


def test_the_questions_come_in_lxds_order() -> None:
    person = Person({})
    interactive(person, Host(drivers=["overlay", "dir"], keys=["core.https_address", "core.trust_password"]))
    assert person.asked == [
        "Would you like to use LXD clustering?",
        "Do you want to configure a new storage pool?",
        "Name of the new storage pool",
        "Name of the storage backend to use (overlay, dir)",
        "Would you like to connect to a MAAS server?",
        "Would you like to create a new local network bridge?",
        "What should the new bridge be called?",
        "What IPv4 address should be used? (CIDR subnet notation, “auto” or “none”)",
        "What IPv6 address should be used? (CIDR subnet notation, “auto” or “none”)",
        "Would you like the LXD server to be available over the network?",
        "Would you like stale cached images to be updated automatically?",
    ]


ON_BTRFS = Host(drivers=["dir", "btrfs"], pools_directory="/var/lib/lxd/storage-pools", is_on_btrfs=True, loop_gib=14)


@pytest.mark.parametrize(
    ("answers", "config"),
    [
        ({}, {"source": "/var/lib/lxd/storage-pools/default"}),
        ({"new btrfs subvolume": ["no"]}, {"size": "14GiB"}),
        ({"new btrfs subvolume": ["no"], "Size in GiB": ["0", "much", "7"]}, {"size": "7GiB"}),
        ({"new btrfs subvolume": ["no"], "existing empty": ["yes"], "Path": ["/dev/none"]}, None),
        ({"new btrfs subvolume": ["no"], "Create a new": ["no"], "existing BTRFS": ["/mnt/x"]}, {"source": "/mnt/x"}),
    ],
)
def test_where_a_pool_of_btrfs_is_to_be(answers: dict[str, list[str]], config: dict[str, str] | None) -> None:
    device = next((f"/dev/{one.name}" for one in Path("/sys/class/block").iterdir()), "")
    if config is None:
        if not Path(device).is_block_device():
            pytest.skip("this host has no block device")
        answers["Path"].append(device)
    person = Person({"backend": ["btrfs"], **answers})
    found = interactive(person, ON_BTRFS)["storage_pools"][0]
    assert (found["driver"], found["config"]) == ("btrfs", {"source": device} if config is None else config)


@pytest.mark.parametrize(
    ("wishes", "config"),
    [
        (Wishes(storage_create_loop="9"), {"size": "9GiB"}),
        (Wishes(storage_create_device="/dev/x"), {"source": "/dev/x"}),
        (Wishes(storage_pool="/mnt/x"), {"source": "/mnt/x"}),
        (Wishes(), {}),
    ],
)
def test_flags_say_where_a_pool_is_to_be(wishes: Wishes, config: dict[str, str]) -> None:
    found = automatic(ON_BTRFS, dataclasses.replace(wishes, storage_backend="btrfs"))["storage_pools"]
    assert [(one["driver"], one["config"]) for one in found] == [("btrfs", config)]


def test_wrong_answers_are_asked_again() -> None:
    person = Person(
        {
            "clustering": ["yes"],
            "storage pool?": ["yes"],
            "Name of the new": ["mine", "other"],
            "backend": ["zfs", "dir"],
            "be called": ["docker0", "lxdbr7"],
            "IPv4 address": ["10.1.2.1", "fd42::1/64", "10.1.2.1/24"],
            "NAT IPv4": ["no"],
        }
    )
    found = interactive(person, Host(drivers=["overlay", "dir"], pools=["mine"], interfaces=HOST.interfaces))
    assert found["storage_pools"][0]["name"] == "other"
    assert found["storage_pools"][0]["driver"] == "dir"
    assert found["networks"][0]["name"] == "lxdbr7"
    assert found["networks"][0]["config"] == {
        "ipv4.address": "10.1.2.1/24",
        "ipv4.nat": "false",
        "ipv6.address": "auto",
    }
    assert person.told[0].startswith("Clustering is not offered")
    assert len(person.told) == 6


@pytest.mark.parametrize(("parent", "kind"), [("docker0", "bridged"), ("eth0", "macvlan")])
def test_an_interface_of_the_host_can_be_used(parent: str, kind: str) -> None:
    person = Person(
        {
            "new local network": ["no"],
            "existing bridge or host interface?": ["yes"],
            "Name of the existing": ["no", parent],
        }
    )
    found = interactive(person, HOST)
    nic = {"type": "nic", "nictype": kind, "name": "eth0", "parent": parent}
    assert found["profiles"][0]["devices"]["eth0"] == nic
    assert found["networks"] == []
    assert len(person.told) == 1


def test_a_preseed_is_read_as_it_is_written() -> None:
    made = automatic(HOST)
    assert parse(to_yaml({**made, "cluster": None})) == made


def test_values_stay_the_texts_they_were_written_as() -> None:
    document = "profiles: [{name: default, config: {security.nesting: true, limits.cpu: 010, user.x: null}}]"
    assert parse(document)["profiles"][0]["config"] == {
        "security.nesting": "true",
        "limits.cpu": "010",
        "user.x": "null",
    }


@pytest.mark.parametrize("empty", ["", "{}", "networks:\n", "config: {}\nprofiles: null\ncluster: null\n"])
def test_an_empty_preseed_asks_for_nothing(empty: str) -> None:
    assert not any(parse(empty).values())


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("[]", "it is not a mapping"),
        ("foo: 1", "unknown field 'foo'"),
        ("networks: {}x", "could not find|expected"),
        ("networks: {name: x}", "networks is not a list"),
        ("networks: [{name: x, colour: red}]", "unknown field 'colour' in networks"),
        ("storage_pools: [{driver: dir}]", "an entry of storage_pools has no name"),
        ("profiles: [{name: p, devices: {d: [x]}}]", "device d is not a mapping"),
        ("profiles: [{name: p, config: {a: [x]}}]", "a of config in profiles is not a text"),
        ("profiles: [{name: [p]}]", "name in profiles is not a text"),
        ("config: []", "config is not a mapping"),
    ],
)
def test_a_wrong_preseed_is_refused(document: str, text: str) -> None:
    with pytest.raises(Invalid, match=f"(?s)Failed to parse the preseed: .*({text})"):
        parse(document)
