"""The daemon's side of the interceptor: sees that one runs while a container needs it.

Its process outlives the daemon, so that calls are answered while that is away; the daemon's own connection keeps it
alive and tells of its end. A call that comes while there is none gets ENOSYS from liblxc's monitor, which connects
again with the next one.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from lightervisor.kernel import files, process
from lightervisor.runtime.settings import intercept
from lightervisor.runtime.spawner import PACKAGE, START

MODULE = "lightervisor.runtime.interception.process"
log = logging.getLogger(__name__)


class Interceptor:
    """Starts the process when a container is to have calls intercepted, and anew when it dies."""

    def __init__(self, socket_path: Path, permits: Path) -> None:
        self.socket_path, self._permits = socket_path, permits
        self._line: socket.socket | None = None
        self._needed: set[str] = set()

    def prepare(self, name: str, config: Mapping[str, str]) -> None:
        """Before a container starts: write what may be done for it, and see that it can be. Raises OSError."""
        intercept.write(self._permits, name, config)
        if intercept.wanted(config):
            self._needed.add(name)
            self._ensure()

    def find(self) -> None:
        """The daemon starts: serve those again that run."""
        if not self._permits.is_dir():
            return
        self._needed |= {path.name for path in self._permits.iterdir() if not path.name.startswith(".")}
        if self._needed:
            self._ensure()

    def change(self, name: str, config: Mapping[str, str]) -> None:
        """The configuration of a running container has changed: what may be done for it follows."""
        intercept.write(self._permits, name, config, calls=intercept.calls_of(self._permits, name))

    def forget(self, name: str) -> None:
        """A container has ended: nothing is done for it any more."""
        files.discard(self._permits / name)
        self._needed.discard(name)
        if not self._needed:
            self._hang_up()

    def close(self) -> None:
        """The daemon ends: the process goes on while a container is connected to it."""
        self._hang_up()

    def _ensure(self) -> None:
        if self._line is not None:
            return
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            line.connect(str(self.socket_path))
        except (ConnectionRefusedError, FileNotFoundError):
            self._launch()
            line.connect(str(self.socket_path))
        line.setblocking(False)
        self._line = line
        asyncio.get_running_loop().add_reader(line, self._ended)

    def _launch(self) -> None:
        """Start the process on a socket that is made here, so that nobody ever finds it without one."""
        self.socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self.socket_path))
            self.socket_path.chmod(0o600)
            listener.listen(1024)
            words = [sys.executable, "-IS", "-c", START, PACKAGE, MODULE, str(listener.fileno()), self._permits]
            # setsid gives it away to the host's init: it must not end with us.
            process.spawn_for_guests(["setsid", "--fork", *words], pass_fds=[listener.fileno()]).wait()

    def _ended(self) -> None:
        """The process says nothing on this line: it has died."""
        self._hang_up()
        if self._needed:
            log.error("the process that answers intercepted system calls has died and is started again")
            self._ensure()

    def _hang_up(self) -> None:
        if self._line is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._line)
            self._line.close()
            self._line = None
