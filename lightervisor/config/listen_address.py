"""Addresses to listen on, in every spelling LXD takes. Source: LXD, core.https_address."""

import re
import socket
from typing import NamedTuple

from lightervisor.errors import Invalid

HTTPS_PORT = 8443
# What the C library takes for an address or for all of them, and Go does not.
_WILD = re.compile(
    r"\*|(?!([0-9]+\.){3}[0-9]+$)(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+))*", re.ASCII | re.IGNORECASE
)


class Unresolvable(Invalid):
    """No such host."""

    def __init__(self, host: str) -> None:
        super().__init__("address", text=f'Couldn\'t resolve "{host}"')


class ListenAddress(NamedTuple):
    """Where to listen; no host means all addresses. The port may be a service's name."""

    host: str
    port: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_everywhere(self) -> bool:
        """Whether it stands for all addresses of the host, of one version or both."""
        return self.host in ("", "::", "0.0.0.0")  # noqa: S104  # this is compared, not bound


def parse(text: str, *, default_port: int = HTTPS_PORT) -> ListenAddress:
    """Read "[::]", "::1", ":8443", "host", "host:port", "[::1]:8443" and the like.

    Raises Invalid with LXD's texts for brackets that do not match and hosts that only look like addresses. Whether
    host and port exist is not looked at.
    """
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        inner, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise Invalid("address", text=f"Cannot listen on network HTTPS socket \"{text}\": missing ']' in address")
        host, port = inner, rest[1:]
    elif not colon or ":" in host:  # a host without a port, or an IPv6 address without brackets
        host, port = text, ""
    if _WILD.fullmatch(host):
        raise Unresolvable(host)
    return ListenAddress(host, port or str(default_port))


def port_number(port: str) -> int:
    """The number of a port. Raises Invalid with LXD's texts for what is none."""
    if port.removeprefix("-").isdecimal() and port.isascii():
        number = int(port)
        if 0 <= number <= 65535:
            return number
        raise Invalid("port", text=f"address {port}: invalid port")
    try:
        return socket.getservbyname(port, "tcp")
    except (OSError, UnicodeError) as error:
        raise Invalid("port", text=f"address tcp/{port}: unknown port") from error
