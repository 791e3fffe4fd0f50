"""Filters and columns of `lxc list`."""

from typing import Any

import pytest

from lightervisor.cli import list_columns, list_filters, units
from lightervisor.cli.errors import CommandError

WEB: dict[str, Any] = {
    "name": "web-01",
    "status": "Running",
    "type": "container",
    "ephemeral": True,
    "architecture": "x86_64",
    "location": "none",
    "created_at": "2026-11-21T00:34:27.007810239Z",
    "last_used_at": "1970-01-01T00:00:00Z",
    "profiles": ["default", "web"],
    "expanded_config": {
        "user.blah": "abc",
        "security.privileged": "true",
        "volatile.base_image": "0123456789abcdef",
        "volatile.eth0.hwaddr": "00:16:3e:aa:bb:cc",
        "limits.memory": "1GiB",
    },
    "expanded_devices": {
        "root": {"type": "disk", "path": "/", "pool": "default"},
        "eth0": {"type": "nic", "network": "lxdbr0"},
    },
    "snapshots": [{}],
    "state": {
        "pid": 42,
        "processes": 7,
        "cpu": {"usage": 12_500_000_000},
        "memory": {"usage": 512 * 1024**2},
        "disk": {"root": {"usage": 2048}},
        "network": {
            "lo": {"type": "loopback", "addresses": [{"family": "inet", "address": "127.0.0.1", "scope": "local"}]},
            "eth0": {
                "type": "broadcast",
                "addresses": [
                    {"family": "inet", "address": "10.1.2.3", "scope": "global"},
                    {"family": "inet6", "address": "fe80::1", "scope": "link"},
                ],
            },
        },
    },
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("web", True),
        ("eb", False),
        ("web.*0[12]", True),
        (".*01$", True),
        ("*-01", True),
        ("user.blah=abc", True),
        ("u.blah=abc", True),
        ("u.blah=ab", False),
        ("s.privileged=true", True),
        ("volatile.eth0.hwaddr=00:16:3e:.*", True),
        ("type=container", True),
        ("type=virtual-machine,container", True),
        ("status=running", True),
        ("status=stopped", False),
        ("ipv4=10.1.2.3", True),
        ("ipv4=10.1.0.0/16", True),
        ("ipv4=10.2.0.0/16", False),
        ("ipv6=fe80::/16", False),
        ("user.blah=(", False),
    ],
)
def test_filters_select(text: str, matches: bool) -> None:
    assert list_filters.matches(WEB, text) is matches


@pytest.mark.parametrize(
    ("letter", "cell"),
    [
        ("n", "web-01"),
        ("s", "RUNNING"),
        ("4", "10.1.2.3 (eth0)"),
        ("6", ""),
        ("b", "default"),
        ("c", "2026/11/21 00:34 UTC"),
        ("l", ""),
        ("D", "2.00KiB"),
        ("f", "0123456789ab"),
        ("m", "512.00MiB"),
        ("M", "50.0%"),
        ("N", "7"),
        ("p", "42"),
        ("P", "default\nweb"),
        ("S", "1"),
        ("t", "CONTAINER (EPHEMERAL)"),
        ("u", "12s"),
        ("user.blah:x:2", "ab"),
        ("devices:eth0.network", "lxdbr0"),
        ("config:user.nope", ""),
    ],
)
def test_columns_show(letter: str, cell: str) -> None:
    (column,) = list_columns.parse(letter)
    assert column.cell(WEB) == cell


@pytest.mark.parametrize("letter", "46DmMNpu")
def test_a_stopped_instance_or_one_without_state_has_empty_cells(letter: str) -> None:
    (column,) = list_columns.parse(letter)
    assert column.cell({"name": "x", "status": "Stopped", "state": None}) == ""
    assert column.cell({"name": "x", "status": "Running"}) == ""


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("nx", "Unknown column shorthand char 'x' in 'nx'"),
        ("n,,s", "Empty column entry (redundant, leading or trailing command) in 'n,,s'"),
        ("nuser.foo:X", "Invalid config key 'nuser.foo' in 'nuser.foo:X'"),
        ("devices:eth0", "Unknown column shorthand char 'v' in 'devices:eth0'"),
        ("user.a:b:c", "Invalid max width (must -1, 0 or a positive integer) 'c' in 'user.a:b:c'"),
    ],
)
def test_bad_layouts_are_refused(layout: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        list_columns.parse(layout)
    assert caught.value.sentence() == text


def test_times_of_other_zones_are_shown_in_utc() -> None:
    assert units.time("2026-11-21T02:34:27+02:00") == "2026/11/21 00:34 UTC"
