"""Both websockets of one migration, and the end of it, which the other side may tell at any time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from msgspec import Struct

from lightervisor.client.https import Outgoing, plain
from lightervisor.errors import Failure, Invalid, Unavailable
from lightervisor.instances.sockets import Sockets
from lightervisor.migration.flow import Line
from lightervisor.migration.frames import Control
from lightervisor.migration.protobuf import LARGEST
from lightervisor.operations.operations import Channel

CONTROL, FS, MEMORY = "control", "fs", "criu"
CONNECT_S = 10
SILENCE_S = 600
LONGEST_FRAME = 64 << 20
Answer = TypeVar("Answer")


class There(Struct, frozen=True, kw_only=True):
    """The other side's operation, and the secrets that open its websockets."""

    operation: str
    certificate: str
    secrets: dict[str, str]


class Talk:
    """The lines of one migration. `silence_s`: how long the other side may say nothing when something must come."""

    def __init__(
        self, control: Channel, fs: Channel, silence_s: float = SILENCE_S, memory: Channel | None = None
    ) -> None:
        self.control, self.fs = Line(control, silence_s), Line(fs, silence_s)
        self._memory = Line(memory, silence_s) if memory is not None else None
        self.is_on_this_host = fs.is_on_this_host
        self._ending: asyncio.Task[Control] | None = None
        self._silence_s = silence_s
        self.index_version = 0

    @property
    def has_memory(self) -> bool:
        """Whether what is in memory can travel."""
        return self._memory is not None

    @property
    def memory(self) -> Line:
        """The line for what is in memory. Raises Invalid without one."""
        if self._memory is None:
            raise Invalid("migration", text=f"Missing {MEMORY} secret")
        return self._memory

    def agreed(self, index_version: int | None) -> None:
        """Headers are exchanged: from now on the next message on `control` is how it ended."""
        self.index_version = index_version or 0
        self._ending = asyncio.create_task(self.control.message_sometime(Control), name="migration's end")

    async def unless_ended(self, work: Awaitable[Answer]) -> Answer:
        """Do a part of the work. Raises Failure with the other side's words when it gives up meanwhile."""
        task = asyncio.ensure_future(work)
        ending = self._ending
        if ending is None:
            raise RuntimeError("nobody listens for the end")
        try:
            await asyncio.wait([task, ending], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.exception() is not None:
                await asyncio.wait([ending], timeout=0 if not task.done() else 1)
                if ending.done():
                    self._blame(ending)
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _blame(self, ending: "asyncio.Task[Control]") -> None:
        """Raise what the other side said; nothing when it said that it has all, or went without a word."""
        if ending.exception() is None and not ending.result().success:
            raise refused(ending.result())

    def check_wanted(self) -> None:
        """Raise what the other side said when it has given up, Unavailable when it is gone."""
        if self._ending is not None and self._ending.done() and not self._ending.result().success:
            raise refused(self._ending.result())

    async def ended(self) -> Control:
        """How it ended, as the other side tells. Raises Unavailable when it does not."""
        if self._ending is None:
            raise RuntimeError("nobody listens for the end")
        try:
            async with asyncio.timeout(self._silence_s):
                return await asyncio.shield(self._ending)
        except TimeoutError as error:
            cause = f"the other server has not said for {self._silence_s:g} s whether it has all"
            raise Unavailable("migration", cause=cause) from error

    async def close(self) -> None:
        """Close both."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)
        await self.fs.close()
        if self._memory is not None:
            await self._memory.close()
        await self.control.close()


def refused(control: Control) -> Failure:
    """What the other side said."""
    return Failure("migration", text=plain(control.message) or "The other server gave up without a word")


@asynccontextmanager
async def _told(talk: Talk) -> AsyncGenerator[Talk, None]:
    """Tell the other side of what goes wrong here."""
    try:
        yield talk
    except BaseException as failure:
        await talk.control.fail(failure)
        raise
    finally:
        await talk.close()


@asynccontextmanager
async def awaited(sockets: Sockets, silence_s: float = SILENCE_S) -> AsyncGenerator[Talk, None]:
    """Wait for the other side's websockets. Raises Failure after ten seconds."""
    async with sockets.connected():
        memory = sockets[MEMORY] if MEMORY in sockets.names else None
        async with _told(Talk(sockets[CONTROL], sockets[FS], silence_s, memory)) as talk:
            yield talk


@asynccontextmanager
async def dialled(outgoing: Outgoing, there: There, silence_s: float = SILENCE_S) -> AsyncGenerator[Talk, None]:
    """Open the other side's websockets. Raises Invalid for missing secrets, Unavailable."""
    for name in (CONTROL, FS):
        if not there.secrets.get(name):
            raise Invalid("migration", text=f"Missing {name} secret")
    async with outgoing.to(there.certificate) as peer:
        base = there.operation.rstrip("/") + "/websocket"
        async with AsyncExitStack() as stack:
            channels: dict[str, Channel] = {}
            for name, longest in ((CONTROL, LARGEST), (FS, LONGEST_FRAME), (MEMORY, LONGEST_FRAME)):
                if secret := there.secrets.get(name):
                    opened = peer.websocket(base, {"secret": secret}, longest=longest)
                    channels[name] = await stack.enter_async_context(opened)
            talk = Talk(channels[CONTROL], channels[FS], silence_s, channels.get(MEMORY))
            yield await stack.enter_async_context(_told(talk))
