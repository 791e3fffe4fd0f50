"""Addresses of servers as users type them, and the tokens that stand for one."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from lightervisor.cli.errors import CommandError
from lightervisor.client import light_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PORT = 8443


class Token:
    """What `lxc config trust add` issues: where the server is, its certificate's fingerprint, and a secret.

    `text` is the token itself: the server takes it as the password.
    """

    __slots__ = ("addresses", "fingerprint", "text")

    def __init__(self, text: str, addresses: list[str], fingerprint: str) -> None:
        self.text, self.addresses, self.fingerprint = text, addresses, fingerprint

    @property
    def host(self) -> str:
        """The host of the first address, to name the remote after when no other name is given."""
        host = urlsplit(f"//{self.addresses[0]}").hostname or ""
        if not host or ":" in host:
            raise CommandError("The token names no host to call the remote after", "lxc remote add <name> <token>")
        return host


def decode_token(text: str) -> Token | None:
    """The token, if it is one."""
    try:
        content: Any = light_json.loads(base64.b64decode(text, validate=True))
        addresses, fingerprint = [str(place) for place in content["addresses"]], str(content["fingerprint"])
    except (ValueError, binascii.Error, KeyError, TypeError, UnicodeDecodeError):
        return None
    return Token(text, addresses, fingerprint) if addresses and content.get("secret") else None


def is_socket(text: str) -> bool:
    """Whether a path is one of a socket."""
    try:
        return stat.S_ISSOCK(Path(text).stat().st_mode)
    except OSError:
        return False


def image_server(text: str) -> str:
    """The URL of a simplestreams server. Raises CommandError."""
    if not text.startswith("https://"):
        raise CommandError("Only https URLs are supported for simplestreams")
    return text


def server(text: str) -> str:
    """`unix://path` or `https://host:port`: without a scheme a path or socket is the one, all else the other.

    Raises CommandError for another scheme or a host or port that cannot be.
    """
    if text.startswith("unix:"):
        return "unix://" + text.removeprefix("unix:").removeprefix("//")
    if text.startswith("/") or is_socket(text):
        return f"unix://{os.path.abspath(text)}"  # noqa: PTH100 - links stay as they are
    scheme, separator, _ = text.partition("://")
    if separator and scheme != "https":
        raise CommandError(f'Invalid URL scheme "{scheme}" in "{text}"')
    place = text.removeprefix("https://")
    if place.count(":") > 1 and not place.startswith("["):
        place = f"[{place}]"  # a bare IPv6 address
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError as error:
        raise CommandError(f'Invalid address "{text}": {error}') from error
    if not host or any(char.isspace() for char in host):
        raise CommandError(f'Invalid address "{text}"')
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
