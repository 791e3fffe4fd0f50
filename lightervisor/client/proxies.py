"""Which proxy a URL is reached through. Source: LXD, core.proxy_http, core.proxy_https and core.proxy_ignore_hosts."""

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Proxies(NamedTuple):
    """The proxies for either kind of URL, and the hosts that are reached without; "" for none."""

    http: str = ""
    https: str = ""
    ignore_hosts: str = ""

    def of(self, url: str) -> str:
        """The URL of the proxy for a URL, or "". This machine itself never has one."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        proxy = self.https if parts.scheme == "https" else self.http
        if not proxy or _is_here(host) or self._ignores(host):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _ignores(self, host: str) -> bool:
        return any(_covers(word.strip().lower(), host) for word in self.ignore_hosts.split(",") if word.strip())


def chosen(config: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Proxies:
    """The proxies of the server's configuration; for what it leaves out, those of the environment."""

    def word(key: str, variable: str) -> str:
        return config.get(key) or environment.get(variable) or environment.get(variable.upper()) or ""

    return Proxies(
        word("core.proxy_http", "http_proxy"),
        word("core.proxy_https", "https_proxy"),
        word("core.proxy_ignore_hosts", "no_proxy"),
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _covers(word: str, host: str) -> bool:
    """Whether an entry of the list means a host: `*`, a name and all below it, an address or a network."""
    if word == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(word, strict=False)
    except ValueError:
        name = word.partition(":")[0].removeprefix(".")
        return host == name or host.endswith(f".{name}")
