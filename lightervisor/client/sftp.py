"""A client of SFTP over the light transport that keeps many requests under way, so that no answer is waited for alone.

Each thing to be done is a job: a generator that yields requests, and None to wait for the answers to all it has sent so
far, which it gets as a list. Jobs run beside each other on one connection, and begin in the order they are given.

    def size(path):
        yield ask(sftp.STAT, sftp.string(path))
        (answer,) = yield None
        return Fields...

An answer that is a refusal is thrown into the job as Refused, unless the request is `lenient`.
"""

from __future__ import annotations

from collections import deque

from lightervisor.client import sftp_packets as sftp
from lightervisor.client.light_errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Wire

    Job = Generator["Ask | None", "list[Answer]", Any]

MOST_ASKED, MOST_JOBS = 64, 32
_SEND_AT = 256 << 10
_BLOCK = 256 << 10


class Answer:
    """What the server said to one request: the type, and for STATUS the code and its text."""

    __slots__ = ("code", "data", "kind", "text")

    def __init__(self, kind: int, data: bytes) -> None:
        self.kind, self.data, self.code, self.text = kind, data, sftp.OK, ""
        if kind == sftp.STATUS:
            fields = sftp.Fields(data, 4)
            self.code = fields.u32()
            self.text = fields.text() if len(data) > 8 else ""

    @property
    def fields(self) -> sftp.Fields:
        """What is in it."""
        return sftp.Fields(self.data, 4)


class Refused(ApiError):
    """The server did not do it, in the words that LXD's API of single files has for the same."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.code
        if answer.code == sftp.NO_SUCH_FILE:
            super().__init__("Not Found", 404)
        elif answer.code == sftp.PERMISSION_DENIED:
            super().__init__("Forbidden", 403)
        else:
            super().__init__(f'sftp: "{answer.text}" (SSH_FX_FAILURE)', 500)


class Ask:
    """A request. One that is `lenient` may be refused: its answer is looked at by the job."""

    __slots__ = ("fields", "is_lenient", "kind")

    def __init__(self, kind: int, *fields: bytes, lenient: bool = False) -> None:
        self.kind, self.fields, self.is_lenient = kind, fields, lenient


class _Running:
    """A job, the answers that it has got and how many are to come."""

    __slots__ = ("answers", "first", "is_waiting", "job", "missing", "refusal")

    def __init__(self, job: Job) -> None:
        self.job, self.answers, self.missing, self.first = job, [], 0, 0
        self.is_waiting, self.refusal = False, None

    answers: list[Answer | None]
    refusal: Refused | None


class Session:
    """One connection; `extensions` are what the server can do beyond the protocol."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._buffer, self._out = wire, bytearray(wire.buffer), bytearray()
        self._asked: dict[int, tuple[_Running, int, bool]] = {}
        self._number = 0
        wire.socket.sendall(sftp.greeting(sftp.INIT))
        try:
            kind, data = self._packet()
            if kind != sftp.VERSION:
                raise sftp.BadPacket(f"type {kind}")
            self.extensions = sftp.Fields(data, 4).extensions()
        except sftp.BadPacket as error:
            raise ApiError(f"The server does not speak SFTP ({error})", 500) from error

    def close(self) -> None:
        """End it; what is not whole on the server does not appear."""
        self._wire.close()

    def run(self, job: Job) -> Any:
        """Run one job to its end; what it returns."""
        result: list[Any] = []

        def keeping() -> Job:
            result.append((yield from job))

        self.run_all(iter([keeping()]))
        return result[0]

    def run_all(self, jobs: Iterator[Job | None]) -> None:
        """Run jobs, some of them at a time, until there are no more. What one of them raises ends all.

        None among them: those that run have to go on before there is another; with none running it is the end.
        """
        running: set[_Running] = set()
        ready: deque[_Running] = deque()
        try:
            while True:
                while len(self._asked) < MOST_ASKED:
                    if ready:
                        one = ready.popleft()
                    elif len(running) < MOST_JOBS and (job := next(jobs, None)) is not None:
                        one = _Running(job)
                        running.add(one)
                    else:
                        break
                    self._step(one, running, ready)
                if not running:
                    return
                if not ready or len(self._asked) >= MOST_ASKED:
                    self._receive(ready)
        except sftp.BadPacket as error:
            raise ApiError(f"The server's answer is no SFTP ({error})", 500) from error
        finally:
            for one in running:
                one.job.close()

    def _step(self, one: _Running, running: set[_Running], ready: deque[_Running]) -> None:
        """Let a job go on until it waits, or so much is under way that answers have to be read first."""
        told: Any = None
        if one.is_waiting:
            one.is_waiting, told, one.answers = False, one.answers, []
        while True:
            try:
                if one.refusal is not None:
                    refusal, one.refusal = one.refusal, None
                    wanted = one.job.throw(refusal)
                else:
                    wanted = one.job.send(told)
            except StopIteration:
                running.discard(one)
                return
            told = None
            if wanted is None:
                one.is_waiting = True
                if not one.missing:
                    ready.appendleft(one)
                return
            self._send(one, wanted)
            if len(self._asked) >= MOST_ASKED:
                ready.appendleft(one)
                return

    def _send(self, one: _Running, wanted: Ask) -> None:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._asked[self._number] = (one, len(one.answers), wanted.is_lenient)
        one.answers.append(None)
        one.missing += 1
        self._out += sftp.packet(wanted.kind, self._number, *wanted.fields)
        if len(self._out) >= _SEND_AT:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            data, self._out = self._out, bytearray()
            try:
                self._wire.socket.sendall(bytes(data))
            except ConnectionError as error:
                raise _cut() from error

    def _receive(self, ready: deque[_Running]) -> None:
        """Read at least one answer, and all that have come with it."""
        self._flush()
        found = self._packet()
        while found is not None:
            kind, data = found
            number = sftp.Fields(data).u32()
            if number not in self._asked:
                raise ApiError("The server answered what it was not asked", 500)
            one, place, is_lenient = self._asked.pop(number)
            answer = Answer(kind, data)
            one.answers[place] = answer
            one.missing -= 1
            if answer.code != sftp.OK and not is_lenient and one.refusal is None:
                one.refusal = Refused(answer)
            if one.is_waiting and not one.missing:
                ready.append(one)
            found = sftp.taken(self._buffer)

    def _packet(self) -> tuple[int, bytes]:
        while (found := sftp.taken(self._buffer)) is None:
            try:
                data = self._wire.socket.recv(_BLOCK)
            except ConnectionError as error:
                raise _cut() from error
            if not data:
                raise _cut()
            self._buffer += data
        return found


def _cut() -> ApiError:
    return ApiError("The connection was closed in the middle of the transfer", 500, "did the instance stop?")


def connect(server: Server, path: str) -> Session | None:
    """A session at one of the API's paths; None when the server has no such thing. Raises ApiError."""
    wire = open_wire(server, path)
    if wire is None:
        return None
    try:
        return Session(wire)
    except BaseException:
        wire.close()
        raise


def open_wire(server: Server, path: str) -> Wire | None:
    """As `connect`, the bare connection."""
    try:
        return server.upgrade(path, "sftp")
    except ApiError as error:
        if error.code == 404 and not server.exists(path.rpartition("/sftp")[0]):
            raise
        if error.code in (404, 501):
            return None
        raise
