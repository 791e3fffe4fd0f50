"""What limits a nic has, and what tc and nftables are told of them."""

from __future__ import annotations

import pytest

from lightervisor.devices.nic_limits import Limits, commands
from lightervisor.firewall import nic_rules


def test_what_a_nic_receives_is_told_to_tc_in_bits() -> None:
    assert "htb rate 10000000bit" in " ".join(commands("veth0", 0, 10_000_000))
    assert commands("veth0", 5, 7) == ["class replace dev veth0 parent 1: classid 1:10 htb rate 7bit"]
    assert commands("veth0", 5, 0) == ["qdisc del dev veth0 root"]
    assert commands("veth0", 0, 0) == []


@pytest.mark.parametrize(
    ("options", "config", "limits"),
    [
        ({}, {}, Limits()),
        ({"limits.max": "8Mbit"}, {}, Limits(8_000_000, 8_000_000)),
        ({"limits.ingress": "1Mbit", "limits.egress": "2Mbit"}, {}, Limits(1_000_000, 2_000_000)),
        ({}, {"limits.network.priority": "7"}, Limits(priority=7)),
        ({"limits.priority": "3"}, {"limits.network.priority": "7"}, Limits(priority=3)),
    ],
)
def test_what_limits_a_nic_has(options: dict[str, str], config: dict[str, str], limits: Limits) -> None:
    assert Limits.of(options, config) == limits


def test_what_a_nic_sends_is_a_rule_of_nftables() -> None:
    rules = nic_rules.outgoing("c1.eth0", "veth0", bytes_a_second=2_000_000, priority=7).chains[0].rules
    limit = rules[0][0]["limit"]
    assert isinstance(limit, dict) and (limit["rate"], limit["rate_unit"], limit["inv"]) == (2_000_000, "bytes", True)
    assert rules[1][0]["mangle"] == {"key": {"meta": {"key": "priority"}}, "value": 7}
    assert nic_rules.outgoing("c1.eth0", "veth0").chains[0].rules == ()
