"""A program that was attached to a container, as a descriptor and what becomes of it."""

import os

from lightervisor.kernel import pidfd
from lightervisor.runtime.spawner import Followed


class Attached:
    """A program that runs inside a container."""

    def __init__(self, followed: Followed) -> None:
        self.pid, self._followed = int(followed.first.value[1]), followed
        self.pidfd: int | None = followed.first.fds[0]

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self.pidfd is not None:
            pidfd.send(self.pidfd, number)

    async def wait(self) -> int:
        """Its exit status, 128 + signal when a signal ended it. Raises HostError when the spawner died."""
        try:
            status = int((await self._followed.last()).value[1])
        finally:
            if self.pidfd is not None:
                os.close(self.pidfd)
                self.pidfd = None
        return status if status >= 0 else 128 - status
