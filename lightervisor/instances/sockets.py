"""The websockets of one operation, as clients bring them. Source: LXD, exec and console."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from lightervisor.errors import Failure
from lightervisor.operations.operations import LONGEST_CONTROL, Channel

CONNECT_S = 5


class Sockets:
    """Websockets by name; those in `optional` may come later or never; `longest_control` as of `Operations.start`."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        optional: Sequence[str] = (),
        connect_s: float = CONNECT_S,
        longest_control: int = LONGEST_CONTROL,
    ) -> None:
        self.names, self.longest_control, self._connect_s = names, longest_control, connect_s
        self._needed = set(names) - set(optional)
        self._channels: dict[str, Channel] = {}
        self._arrivals = {name: asyncio.Event() for name in names}
        self._all_needed, self._finished = asyncio.Event(), asyncio.Event()

    async def connect(self, name: str, channel: Channel) -> None:
        """A client brought a websocket: keep it until the operation has no more use for it."""
        self._channels[name] = channel
        self._arrivals[name].set()
        if self._needed <= self._channels.keys():
            self._all_needed.set()
        await self._finished.wait()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None, None]:
        """Wait for those that are needed, and let all go at the end. Raises Failure when they are late."""
        try:
            try:
                async with asyncio.timeout(self._connect_s):
                    await self._all_needed.wait()
            except TimeoutError as error:
                raise Failure("operation", text="Timed out waiting for websockets to connect") from error
            yield
        finally:
            self._finished.set()

    def __getitem__(self, name: str) -> Channel:
        """One that has come."""
        return self._channels[name]

    def has(self, name: str) -> bool:
        """Whether it has come."""
        return name in self._channels

    async def arrival(self, name: str) -> Channel:
        """Wait for one."""
        await self._arrivals[name].wait()
        return self._channels[name]
