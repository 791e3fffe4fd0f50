"""Which devices are accepted, in which order they start, and how failures read."""

from pathlib import Path

import pytest

from lightervisor.devices.device import (
    Device,
    DeviceStart,
    InstanceFacts,
    Slot,
    check_device,
    load_device,
)
from lightervisor.devices.lifecycle import check_added, start_devices
from lightervisor.devices.ports import BridgePort
from lightervisor.errors import HostError, Invalid

FACTS = InstanceFacts(name="c1")


class Fake(Device):
    """Notes what happens to it."""

    def __init__(self, name: str, *, order: int = 2, fails: bool = False, log: list[str]) -> None:
        super().__init__(name, {}, FACTS)
        self.place, self.fails, self.log = order, fails, log

    @property
    def ORDER(self) -> int:  # type: ignore[override]
        return self.place

    def start(self, slot: Slot) -> DeviceStart:
        self.log.append(f"start {self.name}")
        if self.fails:
            raise HostError("thing", cause="broke")
        return DeviceStart()

    def stop(self) -> None:
        self.log.append(f"stop {self.name}")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, 'Failed loading device "foo": Unsupported device type'),
        ({"type": "bogus"}, 'Failed loading device "foo": Unsupported device type'),
        ({"type": "nic"}, 'Failed loading device "foo": Unsupported device type'),
        ({"type": "nic", "nictype": "bridged"}, 'Invalid value for device option "parent": Required value'),
        ({"type": "nic", "nictype": "bridged", "parent": "br0", "bogus": "1"}, 'Invalid device option "bogus"'),
        ({"type": "nic", "nictype": "bridged", "network": "br0"}, 'Cannot use "nictype" property in conjunction'),
        ({"type": "nic", "network": "br0", "parent": "br0"}, 'Cannot use "parent" property in conjunction'),
        ({"type": "nic", "network": "br0", "hwaddr": "x"}, 'Invalid value for device option "hwaddr"'),
        ({"type": "nic", "network": "br0", "maas.subnet.ipv4": "x"}, "needs MAAS"),
        ({"type": "nic", "network": "br0", "hwaddr": "01:00:5e:00:00:01"}, "must be that of one interface"),
        ({"type": "nic", "network": "br0", "hwaddr": "zz"}, "must be 6 bytes of hex separated by colons"),
        ({"type": "nic", "network": "br0", "vlan": "5000"}, 'Out of VLAN ID range (0-4094) "5000"'),
        ({"type": "nic", "network": "br0", "vlan": "abc"}, 'Invalid VLAN ID "abc"'),
        ({"type": "nic", "network": "br0", "vlan": "0"}, "VLAN ID 0 is not allowed for native Linux bridges"),
        ({"type": "nic", "network": "br0", "vlan.tagged": "1-5000"}, "Invalid VLAN range boundary. start:1, end:5000"),
        ({"type": "nic", "network": "br0", "vlan.tagged": "none"}, "Invalid VLAN range input: none"),
        ({"type": "nic", "network": "br0", "ipv4.routes": "x"}, 'Item "x": invalid CIDR address: x'),
        (
            {"type": "nic", "network": "br0", "ipv6.address": "none"},
            "Cannot have ipv6.address as none unless using security.ipv6_filtering",
        ),
        (
            {"type": "nic", "network": "br0", "vlan.tagged": "5", "security.mac_filtering": "true"},
            "IP filtering cannot be used with VLAN filtering",
        ),
        ({"type": "nic", "nictype": "macvlan"}, 'Invalid value for device option "parent": Required value'),
        ({"type": "nic", "nictype": "macvlan", "parent": "e0", "vlan": "none"}, 'Invalid VLAN ID "none"'),
        ({"type": "nic", "nictype": "macvlan", "parent": "e0", "ipv4.address": "1.2.3.4"}, "Invalid device option"),
        ({"type": "nic", "nictype": "physical", "parent": "e0", "mtu": "9"}, 'Out of MTU range (1280-16384) "9"'),
        ({"type": "nic", "nictype": "p2p", "parent": "e0"}, 'Invalid device option "parent"'),
        ({"type": "nic", "nictype": "sriov"}, 'Invalid value for device option "parent": Required value'),
        (
            {"type": "nic", "nictype": "routed", "ipv4.address": "10.0.0.4,10.0.0.4"},
            'Duplicate address "10.0.0.4" in "ipv4.address"',
        ),
        (
            {"type": "nic", "nictype": "routed", "ipv4.address": "10.0.0.4/24"},
            'Item "10.0.0.4/24": Not an IPv4 address',
        ),
        ({"type": "nic", "nictype": "routed", "ipv4.gateway": "foo"}, "Invalid gateway: foo"),
        (
            {"type": "nic", "nictype": "routed", "vlan": "5"},
            "The vlan setting can only be used when combined with a parent interface",
        ),
        (
            {"type": "nic", "nictype": "routed", "ipv6.routes": "fd00::/64"},
            "ipv6.routes requires ipv6.address to be set",
        ),
        (
            {"type": "nic", "nictype": "ipvlan", "parent": "e0", "mode": "foo"},
            'Invalid value for device option "mode": Must be one of: l3s, l2',
        ),
        (
            {"type": "nic", "nictype": "ipvlan", "parent": "e0", "mode": "l2", "ipv4.gateway": "auto"},
            'Invalid value for device option "ipv4.gateway": Not an IPv4 address',
        ),
        ({"type": "nic", "nictype": "ipvlan", "parent": "e0", "ipv4.gateway": "10.0.0.2"}, "Invalid gateway: 10.0.0.2"),
        (
            {"type": "nic", "nictype": "ipvlan", "parent": "e0", "ipv4.address": "10.0.0.1/24"},
            'Item "10.0.0.1/24": Not an IPv4 address',
        ),
        ({"type": "disk"}, 'missing the required "source" or "path" property'),
        ({"type": "disk", "path": "/mnt", "source": "tmp"}, "Source path must be absolute for local sources"),
        ({"type": "disk", "path": "/"}, 'Root disk entry must have a "pool" property set'),
        ({"type": "disk", "path": "/", "pool": "p", "source": "/x"}, 'may not have a "source" property'),
        ({"type": "disk", "path": "a", "source": "/x", "size": "1GB"}, "Only the root disk may have a size quota"),
        ({"type": "disk", "path": "a", "source": "/x", "recursive": "1", "readonly": "1"}, "Recursive read-only"),
        ({"type": "disk", "path": "a\nb", "source": "/x"}, "control characters"),
        ({"type": "none", "path": "/x"}, 'Invalid device option "path"'),
    ],
)
def test_a_bad_device_is_refused_in_lxds_words(options: dict[str, str], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_device("foo", options)
    assert caught.value.sentence().startswith('Invalid devices: Device validation failed for "foo": ')
    assert text in caught.value.sentence()


def test_what_was_probably_meant_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        check_device("foo", {"type": "unix-char", "patj": "/dev/x"})
    assert caught.value.message().endswith('Invalid device option "patj" (did you mean "path"?)')


@pytest.mark.parametrize(
    "name", ["../x", "eth0\nx", "e" * 16, "lo", "all", "..", ".", "a b", "a/b", "a:b", "e\u0085", "٣é"]
)
@pytest.mark.parametrize("option", ["name", "host_name", "parent"])
def test_24_an_interface_has_a_name_that_the_kernel_and_paths_take(option: str, name: str) -> None:
    options = {"type": "nic", "nictype": "bridged", "parent": "br0", option: name}
    with pytest.raises(Invalid, match=r"Invalid interface name|control characters are not allowed"):
        check_device("foo", options)


@pytest.mark.parametrize("kind", ["macvlan", "physical", "ipvlan", "routed", "sriov"])
def test_24_nobody_takes_the_hosts_loopback(kind: str) -> None:
    with pytest.raises(Invalid, match="Invalid interface name"):
        check_device("foo", {"type": "nic", "nictype": kind, "parent": "lo"})


@pytest.mark.parametrize("value", ["4294967295", "4294967296", "-1", "99999999999999999999", "٣", "1_0", "0x0", ""])
@pytest.mark.parametrize("kind", ["unix-char", "usb", "proxy"])
def test_22_the_id_that_means_none_is_none(kind: str, value: str) -> None:
    """4294967295 is what leaves an owner as it is: root of the host."""
    more = {"listen": "unix:/x", "connect": "unix:/y"} if kind == "proxy" else {}
    more |= {"source": "/dev/null"} if kind == "unix-char" else {}
    for option in ("uid", "gid"):
        if value:
            with pytest.raises(Invalid, match="Invalid value for a UNIX ID"):
                check_device("foo", {"type": kind, option: value, **more})
        else:
            check_device("foo", {"type": kind, option: "4294967294", **more})


@pytest.mark.parametrize(
    "options",
    [
        {"type": "none"},
        {"type": "nic", "network": "br0", "user.x": "y", "ipv4.address": "10.0.0.5"},
        {"type": "nic", "nictype": "bridged", "parent": "br0", "security.mac_filtering": "false"},
        {"type": "disk", "path": "/", "pool": "default", "size": "5GiB"},
        {"type": "disk", "path": "opt", "source": "/tmp", "optional": "true", "shift": "true"},
    ],
)
def test_a_good_device_is_accepted(options: dict[str, str]) -> None:
    check_device("foo", options)


def test_devices_start_in_order() -> None:
    log: list[str] = []
    start_devices([Fake("z", log=log), Fake("disk", order=1, log=log), Fake("nic", order=0, log=log)])
    assert log == ["start nic", "start disk", "start z"]


def test_a_failed_start_undoes_what_was_started() -> None:
    log: list[str] = []
    with pytest.raises(HostError, match='Failed to start device "b": Thing: broke'):
        start_devices([Fake("a", order=0, log=log), Fake("b", order=1, fails=True, log=log)])
    assert log == ["start a", "start b", "stop b", "stop a"]


def test_a_missing_bridge_is_named() -> None:
    nic = load_device("eth0", {"type": "nic", "nictype": "bridged", "parent": "nobr"}, FACTS)
    with pytest.raises(Invalid, match=r'^Failed to start device "eth0": Parent device "nobr" doesn.t exist$'):
        start_devices([nic])


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    disk = load_device(
        "d1", {"type": "disk", "path": "/x", "source": "/nosuch"}, InstanceFacts(name="c", devices_dir=tmp_path)
    )
    with pytest.raises(Invalid) as caught:
        check_added(disk)
    text = 'Failed add validation for device "d1": Missing source path "/nosuch" for disk "d1"'
    assert caught.value.sentence() == text


def test_an_address_outside_the_network_is_refused() -> None:
    port = BridgePort(bridge="br0", network="br0", config={"ipv4.address": "10.1.2.1/24"})
    nic = load_device("eth0", {"type": "nic", "network": "br0", "ipv4.address": "10.9.9.9"}, FACTS, port)
    with pytest.raises(Invalid, match=r'Device IP address "10.9.9.9" not within network "br0" subnet'):
        nic.check_host()
