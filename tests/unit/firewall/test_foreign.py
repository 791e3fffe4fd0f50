"""Which rules another firewall needs."""

from lightervisor.firewall.foreign import Filter, rules


def table(*, forward: bool, guarded: bool = False, chains: tuple[str, ...] = ()) -> Filter:
    return Filter(program="iptables", version=4, forward_drops=forward, input_drops=guarded, chains=frozenset(chains))


def test_a_firewall_that_accepts_needs_none() -> None:
    assert rules("br0", table(forward=False, chains=("DOCKER-USER",))) == []


def test_docker_gets_them_where_it_leaves_them_alone() -> None:
    found = rules("br0", table(forward=True, chains=("FORWARD", "DOCKER-USER")))
    assert [rule[:3] for rule in found] == [["DOCKER-USER", "-i", "br0"], ["DOCKER-USER", "-o", "br0"]]


def test_ufw_gets_them_in_forward_and_input() -> None:
    ufw = table(forward=True, guarded=True, chains=("FORWARD", "ufw-before-forward"))
    assert ufw.owner == "ufw"
    assert {rule[0] for rule in rules("br0", ufw)} == {"FORWARD", "INPUT"}


def test_each_rule_says_whose_it_is() -> None:
    assert all("generated for LXD network br0" in rule for rule in rules("br0", table(forward=True)))
