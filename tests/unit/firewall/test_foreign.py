"""Which rules another firewall needs."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from lightervisor.errors import HostError
from lightervisor.firewall import foreign
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


class Iptables:
    """What both programs know: the rules of each, in order."""

    def __init__(self) -> None:
        self.rules: dict[str, list[list[str]]] = {"iptables": [], "ip6tables": []}

    def run(self, words: list[str], **options: object) -> bytes:
        program, verb, rule = words[0], words[2], words[3:]
        rules = self.rules[program]
        match verb:
            case "-S":
                return "".join(f"-A {shlex.join(one)}\n" for one in rules).encode()
            case "-C" if rule not in rules:
                raise HostError("program", program, cause="no such rule")
            case "-I":
                rules.insert(0, rule)
            case "-D":
                rules.remove(rule)
            case _:
                pass
        return b""

    def filters(self, *_: object) -> list[Filter]:
        versions = {"iptables": 4, "ip6tables": 6}
        return [replace(table(forward=True), program=name, version=version) for name, version in versions.items()]


@pytest.fixture
def iptables(monkeypatch: pytest.MonkeyPatch) -> Iptables:
    found = Iptables()
    monkeypatch.setattr(foreign.process, "run", found.run)
    monkeypatch.setattr(foreign, "_nft_chains", list)
    monkeypatch.setattr(foreign, "_nft_filters", found.filters)
    monkeypatch.setattr(foreign, "_legacy_filters", list)
    return found


def test_a_version_that_the_network_leaves_alone_gets_no_rules(iptables: Iptables) -> None:
    assert len(foreign.admit("br0", {4, 6})) == 2
    foreign.admit("br1", {6})
    before = [rule for rule in iptables.rules["ip6tables"] if "br1" in rule]
    foreign.admit("br0", {4, 6})
    assert [len(rules) for rules in iptables.rules.values()] == [2, 4], "each rule once"
    assert len(foreign.admit("br0", {4})) == 1
    assert [len(rules) for rules in iptables.rules.values()] == [2, 2]
    assert foreign.admit("br0", set()) == []
    assert iptables.rules == {"iptables": [], "ip6tables": before}
    foreign.withdraw("br1")
    assert iptables.rules == {"iptables": [], "ip6tables": []}
