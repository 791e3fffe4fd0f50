"""What an instance may end up with, and a profile may hold."""

from __future__ import annotations

import pytest

from lightervisor.errors import Invalid
from lightervisor.instances.checks import InstanceChecks

CHECKS = InstanceChecks(lambda _name, _device: None)
ROOT = {"type": "disk", "path": "/", "pool": "default"}


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ({}, "No root device could be found"),
        ({"data": {"type": "disk", "path": "/srv", "pool": "default"}}, "No root device could be found"),
        ({"root": ROOT, "other": ROOT}, "More than one root device found"),
    ],
)
def test_an_instance_has_one_root_disk(devices: dict[str, dict[str, str]], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        CHECKS.check_expanded({}, devices)
    assert caught.value.sentence() == f"Invalid expanded devices: Failed detecting root disk device: {text}"


def test_one_root_disk_is_accepted() -> None:
    CHECKS.check_expanded({}, {"root": ROOT})


def test_a_profile_is_refused_without_the_prefix_of_instances() -> None:
    with pytest.raises(Invalid) as caught:
        CHECKS.check_profile({"nokey": "1"}, {})
    assert caught.value.sentence() == "Unknown configuration key: nokey"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("nonsense", "Invalid raw.lxc line: nonsense"),
        ("lxc.net.0.type=phys", "Only interface-specific ipv4/ipv6 lxc.net. keys are allowed"),
        ("lxc.ephemeral = 1", "Setting lxc.ephemeral is not allowed"),
    ],
)
def test_lines_for_liblxc_are_looked_at_when_they_are_set(raw: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        CHECKS.check_config({"raw.lxc": raw})
    assert caught.value.sentence() == f"Invalid config: {text}"
    CHECKS.check_config({"raw.lxc": "# fine\nlxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.mount.auto=proc:rw"})


def test_no_two_interfaces_have_one_name() -> None:
    nics = {name: {"type": "nic", "nictype": "bridged", "parent": "br0", "name": "eth0"} for name in ("a", "b")}
    with pytest.raises(Invalid) as caught:
        CHECKS.check_expanded({}, {"root": ROOT, **nics})
    assert caught.value.sentence() == (
        'Invalid expanded devices: Device validation failed for "b": '
        'Invalid value for device option "name": Duplicate NIC name detected "eth0"'
    )
    CHECKS.check_expanded({}, {"root": ROOT, "a": nics["a"], "b": {**nics["b"], "name": "eth1"}})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", 'Device validation failed for "": Name must be 1-63 characters long'),
        ("x" * 65, "The maximum device name length is 64 characters"),
        ("../x", 'Device validation failed for "../x": Name must not start with "." character'),
        ("a/b", 'Device validation failed for "a/b": Name can only contain'),
        ("a b", 'Device validation failed for "a b": Name can only contain'),
        ("a\nb", 'Device validation failed for "a\nb": Name can only contain'),
    ],
)
def test_a_name_that_would_lead_elsewhere_is_refused(name: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        CHECKS.check_devices({name: {"type": "none"}})
    assert caught.value.sentence().startswith(f"Invalid devices: {text}")
    CHECKS.check_devices({"a.b:c_d-1": {"type": "none"}})
