"""Named locks, always taken in one order, so that two operations never wait for each other in a circle."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Locks:
    """Locks by name; a lock exists only while someone holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, names: Iterable[str]) -> AsyncGenerator[None, None]:
        """Hold all the named locks while the context lasts."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                lock = self._locks.get(name)
                if lock is None:
                    lock = self._locks[name] = asyncio.Lock()
                await stack.enter_async_context(lock)
            yield


def volume_lock(pool: str, project: str, name: str) -> str:
    """The lock of one custom volume. Who holds it may take those of instances, but not the other way round."""
    return f"custom/{pool}/{project}/{name}"


def instance_lock(project: str, name: str) -> str:
    """The lock of one instance."""
    return f"instance/{project}/{name}"
