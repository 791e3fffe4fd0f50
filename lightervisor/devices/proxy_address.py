"""What a proxy listens at and connects to, as it is written: "tcp:127.0.0.1:80,90-95", "unix:/run/x", "unix:@x".

Source: LXD, device type proxy, with its texts.
"""

import re
from ipaddress import ip_address
from typing import NamedTuple

from lightervisor.config.types import Checked, refuse

KINDS = ("tcp", "udp", "unix")
MOST = 0xFFFF


class Endpoint(NamedTuple):
    """One side: kind, IP address ("" is every one) or path (or "@name"), and ports, none for a unix socket."""

    kind: str
    host: str
    ports: tuple[int, ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether it is a unix socket with a place in the file system."""
        return self.kind == "unix" and not self.host.startswith("@")

    @property
    def version(self) -> int:
        """Of IP; 0 when any will do."""
        return ip_address(self.host).version if self.host else 0

    @property
    def is_wildcard(self) -> bool:
        """Whether it is every address."""
        return not self.host or ip_address(self.host).is_unspecified


def parse(text: str) -> Endpoint:
    """Read one side. Raises Invalid with LXD's texts."""
    kind, colon, rest = text.partition(":")
    if kind not in KINDS:
        raise refuse(f'Unknown protocol type "{kind}"')
    if not colon or not rest:
        raise refuse("Missing address")
    if kind == "unix":
        if not rest.startswith(("/", "@")) or rest == "@":
            raise refuse(f'Not an absolute path or an abstract name "{rest}"')
        return Endpoint(kind, rest)
    host, ports = _split(rest)
    if host:
        try:
            host = str(ip_address(host))
        except ValueError as error:
            raise refuse(f'Not an IP address "{host}"') from error
    return Endpoint(kind, host, tuple(_ports(ports)))


def _split(text: str) -> tuple[str, str]:
    """Host and ports of "host:ports" and "[host]:ports"."""
    bracketed = re.fullmatch(r"\[([^\]]*)\]:(.*)", text)
    if bracketed:
        return bracketed[1], bracketed[2]
    host, colon, ports = text.rpartition(":")
    if not colon:
        raise refuse(f"address {text}: missing port in address")
    if ":" in host:
        raise refuse(f"address {text}: too many colons in address")
    return host, ports


def _ports(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        start = _port(first)
        end = _port(last) if dash else start
        if end < start:
            raise refuse("End port should be higher than start port")
        found += range(start, end + 1)
        if len(found) > MOST:
            raise refuse(f"More ports than there are ({MOST})")
    if len(set(found)) != len(found):
        raise refuse(f"The same port twice in {text!r}")
    return found


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) <= MOST:
        raise refuse(f"Invalid port number {text!r}: must be between 1 and {MOST}")
    return int(text)


def _check(value: str) -> None:
    parse(value)


Side = Checked("address of a proxy", _check)
