"""The daemon's side of the spawner: requests as coroutines."""

import asyncio
import logging
import marshal
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import inheritance, process

PACKAGE = Path(__file__).parent.parent.parent
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import runpy; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
LARGEST = 1 << 20
LAST_WORDS = 0  # as in spawner_process, which must not be imported here: it is the program of another process
ENDED = "the process that holds liblxc has ended; try again"
SO_SNDBUFFORCE = 32  # socket(7); Python has no name for it
log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """One answer and the descriptors that came with it, which the receiver closes."""

    value: Any
    fds: list[int]


class Spawner:
    """One request, one answer; `start` and `attach` get a second one when their process ends.

    A spawner that dies fails the requests under way and is started anew with the next one.
    """

    def __init__(self, channel: socket.socket, child: process.Child, open_files: int) -> None:
        self._channel, self._child, self._open_files = channel, child, open_files
        self._waiting: dict[int, asyncio.Queue[Answer]] = {}
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self._number = LAST_WORDS
        self._end = ENDED
        self._alive = True

    @classmethod
    def launch(cls) -> "Spawner":
        """Start the spawner's process; to be called before the first thread.

        What it starts has the soft limit of open files that is set now.
        """
        open_files = inheritance.open_files()
        return cls(*_start(open_files), open_files)

    def connect(self) -> None:
        """Begin to read answers on the running loop."""
        asyncio.get_running_loop().add_reader(self._channel, self._read)

    def close(self) -> None:
        """Let the spawner end; what it started goes on."""
        if self._alive:
            self._lost()
        self._child.wait()

    def _lost(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel)
        loop.remove_writer(self._channel)
        self._channel.close()
        self._alive = False
        for _, fds in self._unsent:
            _close(fds)
        self._unsent.clear()
        for queue in self._waiting.values():
            queue.put_nowait(Answer(("error", self._end), []))

    def _read(self) -> None:
        """Take all that has come: after an error of the socket, libuv calls this once and never again."""
        while self._alive:
            try:
                message, fds = self._receive()
            except BlockingIOError:
                return
            if message:
                self._take(message, fds)
            else:
                status = self._child.wait()
                if self._end == ENDED:  # else it has said why, and those who ask are told
                    log.error("the spawner has ended with status %s", status)
                self._lost()

    def _take(self, message: bytes, fds: list[int]) -> None:
        number, value = marshal.loads(message)  # our own child wrote it
        if number == LAST_WORDS:
            self._end = str(value)
            return
        queue = self._waiting.get(number)
        if queue is None:
            _close(fds)
        else:
            queue.put_nowait(Answer(value, fds))

    def _receive(self) -> tuple[bytes, list[int]]:
        """The next message, empty at the end. Raises BlockingIOError."""
        try:
            message, fds, _, _ = socket.recv_fds(self._channel, LARGEST, 8, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            # That is told once, and before what is there to be read still.
            message, fds, _, _ = socket.recv_fds(self._channel, LARGEST, 8, socket.MSG_CMSG_CLOEXEC)
        return message, fds

    async def request(self, operation: str, *arguments: object, fds: Sequence[int] = ()) -> Answer:
        """Ask once and wait for the answer. Raises HostError with what the spawner says."""
        number, queue = self._send(operation, arguments, fds)
        try:
            return _checked(await queue.get())
        finally:
            del self._waiting[number]

    async def follow(self, operation: str, *arguments: object, fds: Sequence[int] = ()) -> "Followed":
        """Ask, wait for the first answer and keep the line open for the second one."""
        number, queue = self._send(operation, arguments, fds)
        try:
            first = _checked(await queue.get())
        except BaseException:
            del self._waiting[number]
            raise
        return Followed(first, number, queue, self._waiting)

    def _send(
        self, operation: str, arguments: Sequence[object], fds: Sequence[int]
    ) -> tuple[int, "asyncio.Queue[Answer]"]:
        if not self._alive:
            self._channel, self._child = _start(self._open_files)
            self._alive, self._end = True, ENDED
            self.connect()
        self._number += 1
        queue: asyncio.Queue[Answer] = asyncio.Queue()
        message = marshal.dumps(cast("Any", (self._number, operation, tuple(arguments))))
        if len(message) > min(LARGEST, self._channel.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)) // 2:
            raise Invalid("command", cause="its arguments and environment are too long")
        # Copies: the caller may close its own while this one still waits for room in the socket.
        self._unsent.append((message, [os.dup(descriptor) for descriptor in fds]))
        self._waiting[self._number] = queue
        self._flush()
        return self._number, queue

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._unsent:
            message, fds = self._unsent[0]
            try:
                socket.send_fds(self._channel, [message], fds)
            except BlockingIOError:
                loop.add_writer(self._channel, self._flush)
                return
            except OSError:
                break  # it has ended; `_read` finds out and tells everybody
            self._unsent.popleft()
            _close(fds)
        loop.remove_writer(self._channel)


def _start(open_files: int) -> tuple[socket.socket, process.Child]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        try:
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, LARGEST)
        except PermissionError:  # in a container: as much as its host lets everybody have (net.core.wmem_max)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    module = "lightervisor.runtime.spawner_process"
    words = [sys.executable, "-IS", "-c", START, PACKAGE, module, str(theirs.fileno()), str(open_files)]
    child = process.spawn_for_guests(words, pass_fds=[theirs.fileno()], new_session=True)
    theirs.close()
    ours.setblocking(False)
    return ours, child


def _close(fds: Sequence[int]) -> None:
    for descriptor in fds:
        os.close(descriptor)


class Followed:
    """A request whose end is still to come."""

    def __init__(
        self, first: Answer, number: int, queue: "asyncio.Queue[Answer]", waiting: "dict[int, asyncio.Queue[Answer]]"
    ) -> None:
        self.first, self._number, self._queue, self._waiting = first, number, queue, waiting

    async def last(self) -> Answer:
        """The second answer. Raises HostError when the spawner has ended."""
        try:
            return _checked(await self._queue.get())
        finally:
            self._waiting.pop(self._number, None)


def _checked(answer: Answer) -> Answer:
    value = cast("object", answer.value)
    if isinstance(value, tuple):
        words = cast("tuple[object, ...]", value)
        if words and words[0] == "error":
            raise HostError("liblxc", cause=str(words[1]))
    return answer
