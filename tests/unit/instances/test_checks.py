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
