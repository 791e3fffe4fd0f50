"""Rule sets are data: what a network asks for is in them, and nothing breaks out of them."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.errors import Invalid
from lightervisor.firewall import network_rules, nft

V4 = network_rules.Family(version=4, subnet=ip_network("10.1.2.0/24"), nat=True, dhcp=True)


def commands(*families: network_rules.Family) -> list[dict[str, Any]]:
    return json.loads(nft.transaction(network_rules.ruleset("br0", families)))["nftables"]


def rules(chain: str, *families: network_rules.Family) -> list[str]:
    added = [command["add"]["rule"] for command in commands(*families) if "rule" in command.get("add", {})]
    return [json.dumps(rule["expr"]) for rule in added if rule["chain"] == chain]


def test_nat_hides_the_subnet_from_all_but_itself() -> None:
    (rule,) = rules("pstrt.br0", V4)
    assert rule.count("10.1.2.0") == 2
    assert "masquerade" in rule


def test_an_address_for_nat_makes_it_snat() -> None:
    family = network_rules.Family(version=4, subnet=V4.subnet, nat=True, nat_address="192.0.2.9")
    assert '"snat": {"family": "ip", "addr": "192.0.2.9"}' in rules("pstrt.br0", family)[0]


def test_without_routing_packets_are_rejected() -> None:
    family = network_rules.Family(version=4, subnet=V4.subnet, routing=False)
    assert all("reject" in rule for rule in rules("fwd.br0", family))


def test_without_firewall_only_nat_is_left() -> None:
    family = network_rules.Family(version=4, subnet=V4.subnet, nat=True, firewall=False)
    assert rules("fwd.br0", family) == rules("in.br0", family) == []
    assert rules("pstrt.br0", family)


def test_chains_without_rules_are_removed() -> None:
    gone = [command["delete"]["chain"]["name"] for command in commands() if "delete" in command]
    assert gone == ["fwd.br0", "pstrt.br0", "in.br0", "out.br0"]


def test_the_table_is_never_removed_because_others_share_it() -> None:
    assert not any("table" in command.get("delete", {}) for command in commands())


@given(st.text(max_size=20))
def test_any_name_is_either_quoted_or_refused(name: str) -> None:
    try:
        text = nft.transaction(network_rules.ruleset(name, [V4]))
    except Invalid:
        return
    chains = [command["add"]["chain"]["name"] for command in json.loads(text)["nftables"]
              if "chain" in command.get("add", {})]  # fmt: skip
    assert chains == [f"{kind}.{name}" for kind in ("fwd", "pstrt", "in", "out")]


def test_a_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(Invalid):
        nft.transaction(network_rules.ruleset("br0\nx", [V4]))
