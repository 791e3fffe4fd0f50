"""Where a guest has its programs: `PATH` of commands that bring none. Source: LXD, exec.

A file system inside may never answer (FUSE): it must hold up nobody but who asks for a command there, and not long.
So the kernel is asked first for what it knows by itself, and a thread asks the guest's file systems, one for each
container at most.
"""

import asyncio
import os
import threading
from contextlib import suppress

from lightervisor.kernel import paths

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SEARCH_WHEN = (("/snap", "/snap/bin"), ("/etc/NIXOS", "/run/current-system/sw/bin"))
LOOK_S = 1.0


class Places:
    """Looks for signs of more places than the usual ones."""

    def __init__(self) -> None:
        self._looking: dict[str, asyncio.Future[list[str]]] = {}

    async def of(self, container: str, root: int) -> list[str]:
        """More places of a container, by a descriptor of its root; none when it does not tell within a second."""
        known = [(place, paths.known(root, sign)) for sign, place in SEARCH_WHEN]
        if all(is_there is not None for _, is_there in known):
            return [place for place, is_there in known if is_there]
        looking = self._looking.get(container)
        if looking is None:
            looking = self._looking[container] = self._look(container, os.dup(root))
        done, _ = await asyncio.wait({looking}, timeout=LOOK_S)
        return looking.result() if done else []

    def _look(self, container: str, root: int) -> "asyncio.Future[list[str]]":
        """Begin to look, on a thread that nothing waits for when the daemon ends; the descriptor is closed."""
        loop = asyncio.get_running_loop()
        looking: asyncio.Future[list[str]] = loop.create_future()

        def tell(found: list[str]) -> None:
            del self._looking[container]
            looking.set_result(found)

        def look() -> None:
            try:
                found = [place for sign, place in SEARCH_WHEN if _has(root, sign)]
            finally:
                os.close(root)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, found)

        threading.Thread(target=look, name="places", daemon=True).start()
        return looking


def _has(root: int, path: str) -> bool:
    """Whether a path exists inside, as far as that can be told: a guest may have made a loop of links there."""
    try:
        return paths.exists(root, path, follow=True)
    except OSError:
        return False
