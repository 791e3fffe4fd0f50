"""Other people's firewalls that would drop a bridge's packets: Docker's and ufw's.

Docker and ufw set the policy of iptables' FORWARD (ufw of INPUT too) to DROP. nftables cannot overrule a drop, so
rules that accept our bridge are put where they belong: into DOCKER-USER, which Docker leaves to the administrator, else
at the head of FORWARD. Every rule carries LXD's comment, is inserted once and removed with the network. What cannot be
helped (firewalld, a hand-made table) is told as a warning.
Sources: docs.docker.com/engine/network/packet-filtering-firewalls, ufw-framework(8), iptables(8).
"""

import shlex
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lightervisor.errors import HostError
from lightervisor.kernel import process

PROC = Path("/proc/net")
TOOLS = (("iptables", 4), ("ip6tables", 6))


@dataclass(frozen=True, kw_only=True)
class Filter:
    """The filter table behind one iptables program."""

    program: str
    version: int
    forward_drops: bool
    input_drops: bool
    chains: frozenset[str]

    @property
    def place(self) -> str:
        """The chain where a rule for forwarded packets belongs."""
        return "DOCKER-USER" if "DOCKER-USER" in self.chains else "FORWARD"

    @property
    def owner(self) -> str:
        """Whose it looks like."""
        if "DOCKER-USER" in self.chains:
            return "Docker"
        return "ufw" if any(chain.startswith("ufw") for chain in self.chains) else "iptables"


def comment(network: str) -> str:
    """The comment of our rules, LXD's words."""
    return f"generated for LXD network {network}"


def rules(network: str, table: Filter) -> list[list[str]]:
    """Chain and match of each rule that this table needs, as iptables arguments without -I or -D. Pure."""
    tail = ["-m", "comment", "--comment", comment(network), "-j", "ACCEPT"]
    wanted: list[list[str]] = []
    if table.forward_drops:
        wanted += [[table.place, flag, network, *tail] for flag in ("-i", "-o")]
    if table.input_drops:
        ports = (
            ((67, "udp"), (53, "udp"), (53, "tcp")) if table.version == 4 else ((547, "udp"), (53, "udp"), (53, "tcp"))
        )
        wanted += [["INPUT", "-i", network, "-p", kind, "--dport", str(port), *tail] for port, kind in ports]
        if table.version == 6:
            wanted.append(["INPUT", "-i", network, "-p", "ipv6-icmp", *tail])
    return wanted


def admit(network: str, versions: Collection[int]) -> list[str]:
    """Let a bridge's packets of these versions of IP through, and no others, whatever else filters on this host.

    Returns warnings. May be called again. Raises HostError when iptables refuses.
    """
    warnings: list[str] = []
    listing = _nft_chains()
    for table in [*_nft_filters(listing), *_legacy_filters()]:
        if table.version not in versions:
            _withdraw(network, table)
            continue
        wanted = rules(network, table)
        for rule in wanted:
            if not _has(table.program, rule):
                process.run([table.program, "-w", "-I", *rule], timeout_s=30)
        if wanted:
            warnings.append(
                f"{table.owner} drops forwarded packets on this host ({table.program}, chain FORWARD); "
                f'rules that let network "{network}" through were put into {table.place}'
            )
    strangers = sorted(set(_dropping_tables(listing))) if versions else []
    warnings += [f'the nftables table "{name}" drops forwarded packets: network "{network}" may not reach others'
                 for name in strangers]  # fmt: skip
    return warnings


def withdraw(network: str) -> None:
    """Remove every rule that `admit` made, also of a firewall that has changed since. May be called again."""
    listing = _nft_chains()
    for table in [*_nft_filters(listing), *_legacy_filters()]:
        _withdraw(network, table)


def _withdraw(network: str, table: Filter) -> None:
    for line in process.run([table.program, "-w", "-S"], timeout_s=30).decode().splitlines():
        words = shlex.split(line)
        if words[:1] == ["-A"] and comment(network) in words:
            process.run([table.program, "-w", "-D", *words[1:]], timeout_s=30)


def _has(program: str, rule: Sequence[str]) -> bool:
    try:
        process.run([program, "-w", "-C", *rule], timeout_s=30)
    except HostError:
        return False
    return True


def _nft_chains() -> list[dict[str, str]]:
    try:
        raw = process.run(["nft", "-j", "list", "chains"], timeout_s=30)
    except HostError:  # no nftables here: then nobody filters with it
        return []
    entries = msgspec.json.decode(raw, type=dict[str, list[dict[str, dict[str, object]]]])["nftables"]
    return [{name: str(value) for name, value in entry["chain"].items()} for entry in entries if "chain" in entry]


def _nft_filters(listing: Sequence[dict[str, str]]) -> Iterator[Filter]:
    for tool, version in TOOLS:
        family = "ip" if version == 4 else "ip6"
        ours = {chain["name"]: chain for chain in listing if chain["family"] == family and chain["table"] == "filter"}
        program = f"{tool}-nft"
        if "FORWARD" in ours and shutil.which(program, path=process.ENVIRONMENT["PATH"]):
            yield Filter(
                program=program,
                version=version,
                forward_drops=ours["FORWARD"].get("policy") == "drop",
                input_drops=ours.get("INPUT", {}).get("policy") == "drop",
                chains=frozenset(ours),
            )


def _legacy_filters() -> Iterator[Filter]:
    for tool, version in TOOLS:
        # The kernel lists the tables somebody has loaded: asking iptables-legacy would load the table.
        names = PROC / ("ip_tables_names" if version == 4 else "ip6_tables_names")
        program = f"{tool}-legacy"
        if not names.exists() or "filter" not in names.read_text().split():
            continue
        if shutil.which(program, path=process.ENVIRONMENT["PATH"]) is None:
            continue
        lines = [line.split() for line in process.run([program, "-w", "-S"], timeout_s=30).decode().splitlines()]
        policies = {line[1]: line[2] for line in lines if line[0] == "-P"}
        yield Filter(
            program=program,
            version=version,
            forward_drops=policies.get("FORWARD") == "DROP",
            input_drops=policies.get("INPUT") == "DROP",
            chains=frozenset(line[1] for line in lines if line[0] in ("-P", "-N")),
        )


def _dropping_tables(listing: Sequence[dict[str, str]]) -> Iterator[str]:
    for chain in listing:
        known = chain["family"] in ("ip", "ip6") and chain["table"] == "filter" and chain["name"] == "FORWARD"
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not known:
            yield f"{chain['family']} {chain['table']}"
