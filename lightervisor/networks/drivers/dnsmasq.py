"""dnsmasq beside a bridge: DHCP for both versions of IP, router advertisements and DNS.

One process for each network, started from a file that one serializer writes. It outlives the daemon and is found
again by its pid file, whose process must run with our file; it is restarted when the file changes and told with
SIGHUP when reserved hosts change. It runs as a user of its own where that user can reach the files.
Source: dnsmasq(8).
"""

import contextlib
import os
import pwd
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.devices.ports import HostEntry
from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import files, pidfd, process
from lightervisor.model.network import NetworkLease
from lightervisor.networks.drivers.dhcp_release import Lease4, Lease6, release4, release6

Setting = str | tuple[str, str]
_CHOOSING = threading.Lock()
USERS = ("lxd", "dnsmasq", "nobody")


@dataclass(frozen=True, kw_only=True)
class Service:
    """What dnsmasq is to serve. An address is None when the network has none of that version."""

    bridge: str
    directory: Path
    config: Mapping[str, str]
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None


def settings(service: Service, user: str) -> list[Setting]:
    """dnsmasq's options for a network: words, or pairs of word and value. Pure."""
    config, directory = service.config, service.directory
    found: list[Setting] = [
        "strict-order", "bind-interfaces", ("except-interface", "lo"), ("interface", service.bridge),
        ("pid-file", str(directory / "dnsmasq.pid")), "no-ping",
        "dhcp-rapid-commit", "dhcp-no-override", "dhcp-authoritative", "quiet-dhcp", "quiet-dhcp6", "quiet-ra",
        ("dhcp-leasefile", str(directory / "dnsmasq.leases")), ("dhcp-hostsfile", str(directory / "dnsmasq.hosts")),
    ]  # fmt: skip
    if user:
        found.append(("user", user))
    found += _dhcp4(service) + _dhcp6(service)
    if config.get("dns.mode") != "dynamic":
        found.append("dhcp-ignore-names")  # else a guest gives itself the name of another that does not run
    if config.get("dns.mode") != "none":
        domain = config.get("dns.domain") or "lxd"
        found += [
            ("domain", domain),
            ("interface-name", f"_gateway.{domain},{service.bridge}"),
            ("local", f"/{domain}/"),
        ]
    if config.get("raw.dnsmasq"):
        found.append(("conf-file", str(directory / "dnsmasq.raw")))
    return found


def _dhcp4(service: Service) -> list[Setting]:
    config, address = service.config, service.ipv4
    if address is None or not is_true(config.get("ipv4.dhcp") or "true"):
        return []
    found: list[Setting] = []
    if config.get("ipv4.dhcp.gateway"):
        found.append(("dhcp-option-force", f"3,{config['ipv4.dhcp.gateway']}"))
    if config.get("bridge.mtu", "1500") != "1500":
        found.append(("dhcp-option-force", f"26,{config['bridge.mtu']}"))
    if config.get("dns.search"):
        found.append(("dhcp-option-force", f"119,{_words(config['dns.search'])}"))
    expiry = config.get("ipv4.dhcp.expiry") or "1h"
    return found + [("dhcp-range", f"{first},{end},{expiry}") for first, end in ranges4(config, address)]


def ranges4(config: Mapping[str, str], address: IPv4Interface) -> list[tuple[str, str]]:
    """First and last of the addresses that are given out: those of `ipv4.dhcp.ranges`, else all of the subnet."""
    first, last = int(address.network.network_address) + 2, int(address.network.broadcast_address) - 1
    every = [(str(IPv4Address(first)), str(IPv4Address(last)))] if first <= last else []
    return split_ranges(config.get("ipv4.dhcp.ranges", "")) or every


def _dhcp6(service: Service) -> list[Setting]:
    config, address = service.config, service.ipv6
    if address is None:
        return []
    constructor = f"::,constructor:{service.bridge}"
    if not is_true(config.get("ipv6.dhcp") or "true"):
        return ["enable-ra", ("dhcp-range", f"{constructor},ra-only")]
    found: list[Setting] = ["enable-ra"]
    if config.get("dns.search"):
        found.append(("dhcp-option-force", f"option6:domain-search,{_words(config['dns.search'])}"))
    if not is_true(config.get("ipv6.dhcp.stateful")):
        return [*found, ("dhcp-range", f"{constructor},ra-stateless,ra-names")]
    expiry = config.get("ipv6.dhcp.expiry") or "1h"
    every = [(str(address.network.network_address + 2), str(address.network.broadcast_address))]
    prefix = address.network.prefixlen
    ranges = split_ranges(config.get("ipv6.dhcp.ranges", "")) or every
    return found + [("dhcp-range", f"{first},{end},{prefix},{expiry}") for first, end in ranges]


def split_ranges(value: str) -> list[tuple[str, str]]:
    """First and last addresses of "A-B, C-D"; a single address is a range of one."""
    parts = [part.strip().partition("-") for part in value.split(",") if part.strip()]
    return [(first.strip(), last.strip() or first.strip()) for first, _, last in parts]


def _words(value: str) -> str:
    return ",".join(part.strip() for part in value.split(","))


def serialize(found: Sequence[Setting]) -> str:
    """The serializer of dnsmasq's file format. Raises Invalid for control characters and quotes."""
    lines = [setting if isinstance(setting, str) else f"{setting[0]}={setting[1]}" for setting in found]
    for line in lines:
        if not line.isprintable() or '"' in line or "\\" in line or " #" in line:
            raise Invalid("dnsmasq option", line[:60], cause="a control character or quote is not allowed here")
    return "\n".join(lines) + "\n"


def host_line(entry: HostEntry, *, named: bool) -> str:
    """One line of the hosts directory, "" when there is nothing to say. Raises Invalid for separators in values."""
    parts = [entry.hwaddr.lower(), entry.ipv4, f"[{entry.ipv6}]" if entry.ipv6 else "", entry.hostname if named else ""]
    for part in parts:
        if not part.isprintable() or any(mark in part for mark in ', "\\#\t'):
            raise Invalid("host entry", entry.owner, cause=f"{part!r} is not allowed in a reserved address or name")
    given = [part for part in parts if part]
    return ",".join(given) + "\n" if len(given) > 1 else ""


class HostsDirectory:
    """The reserved hosts of one network: a file for each nic, read by dnsmasq again on SIGHUP.

    `server` is the address of the bridge at which dnsmasq takes back what it gave out, `ranges` are the IPv4 addresses
    that a nic may be given for good.
    """

    def __init__(
        self,
        directory: Path,
        *,
        named: bool,
        bridge: str = "",
        server: IPv4Address | None = None,
        ranges: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._directory, self._named, self._bridge, self._server = directory, named, bridge, server
        self._ranges = ranges

    def put(self, entry: HostEntry, *, choose: bool = False) -> HostEntry:
        """Write a nic's file and tell dnsmasq; nothing happens when it is there already. Raises HostError."""
        with _CHOOSING:
            if choose and not entry.ipv4:
                entry = replace(entry, ipv4=self._choose(entry.owner))
            self._put(entry)
        return entry

    def _choose(self, owner: str) -> str:
        """The IPv4 address that a nic had, or a free one of the ranges; "" where none are given out."""
        if not self._ranges:
            return ""
        hosts = self._directory / "dnsmasq.hosts"
        words = {path.name: _read(path).strip().split(",") for path in hosts.iterdir()} if hosts.is_dir() else {}
        for word in words.get(owner, ()):
            with contextlib.suppress(ValueError):
                return str(IPv4Address(word))
        taken = {word for line in words.values() for word in line} | {str(self._server)}
        taken |= {lease.address for lease in leases(self._directory)}
        for first, last in self._ranges:
            for number in range(int(IPv4Address(first)), int(IPv4Address(last)) + 1):
                if str(IPv4Address(number)) not in taken:
                    return str(IPv4Address(number))
        raise HostError("network", self._bridge, cause="has no free IPv4 address", remedy="give it a larger subnet")

    def _put(self, entry: HostEntry) -> None:
        hosts = self._directory / "dnsmasq.hosts"
        hosts.mkdir(mode=0o755, parents=True, exist_ok=True)
        line = host_line(entry, named=self._named)
        path = hosts / _file_name(entry.owner)
        if not line:
            self.remove(entry.owner)
        elif not path.exists() or path.read_text() != line:
            files.write_whole(path, line)
            self._reload()

    def remove(self, owner: str) -> None:
        """Remove a nic's file and tell dnsmasq; nothing happens when it is gone."""
        path = self._directory / "dnsmasq.hosts" / _file_name(owner)
        was_there = path.exists()
        files.discard(path)
        if was_there:
            self._reload()

    def owner_of(self, address: str) -> str:
        """Whose file reserves an address, "" without one."""
        hosts = self._directory / "dnsmasq.hosts"
        words = {address, f"[{address}]"}
        files = sorted(hosts.iterdir()) if hosts.is_dir() else []
        return next((path.name for path in files if words & set(_read(path).strip().split(","))), "")

    def release(self, hwaddr: str) -> None:
        """Give back the addresses of a nic; dnsmasq forgets them a moment later."""
        found, server_id = held(_read(self._directory / "dnsmasq.leases"), hwaddr.lower())
        for lease in found:
            if isinstance(lease, Lease6):
                release6(lease, server_id, self._bridge)
            elif self._server is not None:
                release4(lease, self._server)

    def _reload(self) -> None:
        with running(self._directory) as found:
            if found is not None:
                pidfd.send(found, signal.SIGHUP)


def _file_name(owner: str) -> str:
    if "/" in owner or owner in ("", ".", "..") or not owner.isprintable():
        raise Invalid("host entry", owner, cause="is not a file name")
    return owner


def ensure(service: Service, *, fresh: bool) -> None:
    """Have dnsmasq run with exactly this configuration; one that does so already is left alone unless `fresh`.

    Raises HostError naming what is in the way (another server on the port).
    """
    directory = service.directory
    (directory / "dnsmasq.hosts").mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.chmod(0o711)
    raw = service.config.get("raw.dnsmasq", "")
    if any(not character.isprintable() and character not in "\n\t" for character in raw):
        raise Invalid("raw.dnsmasq", cause="control characters are not allowed")
    wanted = {"dnsmasq.conf": serialize(settings(service, _user(directory))), "dnsmasq.raw": raw}
    same = all(_read(directory / name) == text for name, text in wanted.items())
    with running(directory) as found:
        if found is not None and same and not fresh:
            pidfd.send(found, signal.SIGHUP)
            return
    stop(directory)
    for name, text in wanted.items():
        files.write_whole(directory / name, text)
    try:
        process.run(["dnsmasq", f"--conf-file={directory / 'dnsmasq.conf'}"], timeout_s=30)
    except HostError as error:
        raise _explained(service, error) from error


def _explained(service: Service, error: HostError) -> HostError:
    remedy = error.remedy
    if "Address already in use" in error.cause:
        remedy = "another DNS or DHCP server listens on every address: stop it or let it keep to its interfaces"
    elif service.config.get("raw.dnsmasq"):
        remedy = "look at the key raw.dnsmasq"
    return HostError("DHCP and DNS server", f"of network {service.bridge}", cause=error.cause, remedy=remedy)


def stop(directory: Path, *, timeout_s: float = 5) -> None:
    """End the dnsmasq of this directory and wait for it; nothing happens when none runs."""
    with running(directory) as found:
        if found is None:
            return
        pidfd.end(found, timeout_s=timeout_s)
    (directory / "dnsmasq.pid").unlink(missing_ok=True)


@contextlib.contextmanager
def running(directory: Path) -> Generator[int | None]:
    """A pidfd of the dnsmasq that serves this directory, or None; closed at the end."""
    found = pidfd.of_program(directory / "dnsmasq.pid", f"--conf-file={directory / 'dnsmasq.conf'}")
    try:
        yield found
    finally:
        if found is not None:
            os.close(found)


def parse_leases(text: str) -> list[NetworkLease]:
    """The dynamic leases in dnsmasq's file; lines that are none are left out.

    A line is "expiry mac ip name client-id"; for IPv6 the second word is a number and the mac ends the client's id.
    """
    found: list[NetworkLease] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or words[0] == "duid":
            continue
        hwaddr = words[1] if len(words[1]) == 17 and words[1].count(":") == 5 else words[4][-17:]
        hostname = "" if words[3] == "*" else words[3]
        found.append(NetworkLease(hostname=hostname, hwaddr=hwaddr, address=words[2], type="dynamic"))
    return found


def held(text: str, hwaddr: str) -> tuple[list[Lease4 | Lease6], bytes]:
    """What a nic holds according to dnsmasq's file, and the server's own id for DHCPv6. Pure."""
    found: list[Lease4 | Lease6] = []
    server_id = b""
    for words in (line.split() for line in text.splitlines()):
        with contextlib.suppress(ValueError, IndexError):  # a line that is none of dnsmasq's
            if words[0] == "duid":
                server_id = _bytes(words[1])
            elif words[1].lower() == hwaddr:
                found.append(Lease4(address=IPv4Address(words[2]), hwaddr=hwaddr, client_id=_bytes(words[4])))
            elif words[4][-17:].lower() == hwaddr:
                address, client = IPv6Address(words[2]), _bytes(words[4])
                found.append(Lease6(address=address, client_id=client, interface_id=int(words[1])))
    return found, server_id


def _bytes(colons: str) -> bytes:
    return b"" if colons == "*" else bytes.fromhex(colons.replace(":", ""))


def leases(directory: Path) -> list[NetworkLease]:
    """What this directory's dnsmasq has given out."""
    return parse_leases(_read(directory / "dnsmasq.leases"))


def _user(directory: Path) -> str:
    """The user to run as: it must be able to reach the files when it reads them again; "" is root."""
    if any(not parent.stat().st_mode & 0o001 for parent in directory.parents):
        return "root"
    for name in USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return "root"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
