"""The network listener as the server's configuration wants it. Source: LXD, core.https_address."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from lightervisor.api.network import Network
from lightervisor.config import listen_address
from lightervisor.config.listen_address import ListenAddress, Unresolvable
from lightervisor.errors import Invalid
from lightervisor.kernel.netlink import Netlink

KEY, PROXIES = "core.https_address", "core.https_trusted_proxy"
METRICS_KEY, METRICS_PORT = "core.metrics_address", 9100
RETRY_S = 30
Proxies = IPv4Network | IPv6Network
log = logging.getLogger(__name__)


class NetworkApi:
    """Keeps a listener where a key of the server says, `core.https_address` unless told."""

    def __init__(self, network: Network, key: str = KEY, port: int = listen_address.HTTPS_PORT) -> None:
        self._network, self._key, self._port = network, key, port
        self._retrying: asyncio.Task[None] | None = None

    async def start(self, config: Mapping[str, str]) -> None:
        """Listen; where that is not possible yet, as at boot before an address is there, try again and again."""
        try:
            await self._network.listen(self._wanted(config))
        except Invalid as error:
            log.warning("%s; trying again every %d s", error.message(), RETRY_S)
            self._retrying = asyncio.create_task(self._retry(config), name="listen again")

    async def _retry(self, config: Mapping[str, str]) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                return await self._network.listen(self._wanted(config))
            except Invalid as error:
                log.debug("%s", error.message())

    @asynccontextmanager
    async def applying(self, config: Mapping[str, str]) -> AsyncGenerator[None, None]:
        """Listen as this configuration says while it is being stored; back to what was if that fails.

        Raises Invalid with LXD's text when this host cannot listen there.
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._network.moved_to(self._wanted(config)))
            except Unresolvable as error:
                text = f"cannot set '{self._key}' to '{config[self._key]}': {error.sentence()}"
                raise Invalid("configuration key", self._key, text=text) from error
            yield
        self._stop_retrying()

    async def close(self) -> None:
        """Listen no more."""
        self._stop_retrying()
        await self._network.close()

    def addresses(self) -> list[str]:
        """Where clients reach us, as GET /1.0 tells: each address of the host when we listen on all."""
        address, port = self._network.address, self._network.port
        if address is None or port is None:
            return []
        hosts = _global_addresses(address.host) if address.is_everywhere else [address.host]
        return [str(ListenAddress(host, str(port))) for host in hosts]

    def _wanted(self, config: Mapping[str, str]) -> ListenAddress | None:
        text = config.get(self._key, "")
        return listen_address.parse(text, default_port=self._port) if text else None

    def _stop_retrying(self) -> None:
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None


def trusted_proxies(config: Mapping[str, str]) -> Sequence[Proxies]:
    """Whose PROXY header counts, as addresses and subnets."""
    return _proxies(config.get(PROXIES, ""))


@lru_cache(maxsize=4)
def _proxies(text: str) -> Sequence[Proxies]:
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",")) if text else ()


def _global_addresses(wanted: str) -> list[str]:
    """The host's addresses that others can reach; only version 4 when 0.0.0.0 is wanted."""
    with Netlink() as netlink:
        found = netlink.addresses()
    return [
        one.address
        for one in found
        if one.scope == "global" and (wanted != "0.0.0.0" or one.family == "inet")  # noqa: S104
    ]
