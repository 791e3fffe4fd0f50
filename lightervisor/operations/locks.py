"""Named locks, always taken in one order, so that two operations never wait for each other in a circle."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from lightervisor.errors import Failure


class Held:
    """Locks that are held; each may be let go of before the others."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    async def take(self, name: str, lock: asyncio.Lock) -> None:
        """Take one more."""
        await lock.acquire()
        self._locks[name] = lock

    def release(self, name: str) -> None:
        """Let go of one; nothing happens when it is not held."""
        if (lock := self._locks.pop(name, None)) is not None:
            lock.release()

    def release_all(self) -> None:
        """Let go of what is held still."""
        for name in reversed(list(self._locks)):
            self.release(name)


class Locks:
    """Locks by name; a lock exists only while someone holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._busy: dict[str, Failure] = {}

    @asynccontextmanager
    async def hold(self, names: Iterable[str]) -> AsyncGenerator[Held, None]:
        """Hold all the named locks while the context lasts, or until they are released."""
        held = Held()
        try:
            for name in sorted(set(names)):
                lock = self._locks.get(name)
                if lock is None:
                    lock = self._locks[name] = asyncio.Lock()
                await held.take(name, lock)
            yield held
        finally:
            held.release_all()

    @contextmanager
    def busy(self, name: str, failure: Failure) -> Generator[None, None, None]:
        """Who holds a lock will do so for minutes: who asks for it now is refused with this and does not wait."""
        self._busy[name] = failure
        try:
            yield
        finally:
            self._busy.pop(name, None)

    def check_idle(self, names: Iterable[str]) -> None:
        """Raise what `busy` was told of one of these locks. For requests; what has begun waits."""
        for name in names:
            if (failure := self._busy.get(name)) is not None:
                raise type(failure)(
                    failure.kind, failure.name, cause=failure.cause, remedy=failure.remedy, text=failure.text
                )


def volume_lock(pool: str, project: str, name: str) -> str:
    """The lock of one custom volume. Who holds it may take those of instances, but not the other way round."""
    return f"custom/{pool}/{project}/{name}"


def instance_lock(project: str, name: str) -> str:
    """The lock of one instance."""
    return f"instance/{project}/{name}"
