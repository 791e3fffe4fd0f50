"""Background work: a coroutine with progress, cancellation, websockets and undo. Source: LXD, /1.0/operations.

The life of an operation: `start` runs it at once, its events tell listeners of each change, and ten seconds
after its end it is forgotten (LXD: five seconds, too short for a client on a busy machine). What its `work` did in
steps is undone when it fails, is cancelled or dies.
"""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Protocol, TypeVar

from lightervisor.db.journal import JournalRow
from lightervisor.errors import Failure, Forbidden, Invalid, NotFound, refused_by_host
from lightervisor.events.stream import Events
from lightervisor.kernel.threads import finished
from lightervisor.model.operation import Operation
from lightervisor.model.times import now
from lightervisor.operations.journal import Journal
from lightervisor.operations.locks import Held, Locks

PENDING, RUNNING, CANCELLING, SUCCESS, FAILURE, CANCELLED = 105, 103, 104, 200, 400, 401
STATUS = {
    PENDING: "Pending", RUNNING: "Running", CANCELLING: "Cancelling",
    SUCCESS: "Success", FAILURE: "Failure", CANCELLED: "Cancelled",
}  # fmt: skip
KEEP_FINISHED_S = 10
Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Channel(Protocol):
    """One websocket, as `api` gives it: text frames are str, binary frames are bytes, None is the end."""

    @property
    def is_on_this_host(self) -> bool:
        """Whether the other end is reached through the loopback interface."""
        ...

    async def receive(self) -> bytes | str | None:
        """The next frame, or None when the peer has closed."""
        ...

    async def send(self, frame: bytes | str) -> None:
        """Send one frame; raises ConnectionError when the peer is gone."""
        ...

    async def close(self) -> None:
        """Close the websocket; safe to call twice."""
        ...


LONGEST_CONTROL = 1 << 16
"""Most bytes of one message on `control`, but where it describes an instance with its snapshots: a window's size."""
Connect = Callable[[str, Channel], Awaitable[None]]
Work = Callable[["Run"], Awaitable[None]]


class Run:
    """What the work of an operation may do: report progress, change its metadata, take steps."""

    def __init__(self, live: "_Live", operations: "Operations", journal: Journal) -> None:
        self._live, self._operations, self._journal = live, operations, journal
        self.steps: list[JournalRow] = []
        self.held = Held()
        """The locks that the operation holds: what it needs no longer it may release."""

    @property
    def id(self) -> str:
        """The operation's uuid."""
        return self._live.id

    def update(self, **metadata: Any) -> None:
        """Merge keys into the operation's metadata and tell listeners; None removes a key."""
        merged = {**(self._live.metadata or {}), **metadata}
        self._live.metadata = {key: value for key, value in merged.items() if value is not None}
        self._operations.announce(self._live)

    def progress(self, key: str, text: str) -> None:
        """Show progress; clients print every key that ends in `_progress`."""
        self.update(**{key: text})

    async def commit(self) -> None:
        """What was done in steps so far is whole, and stays also when the rest fails or the daemon dies."""
        await self._operations.settle_steps(self)

    async def undo_left(self, undo: str, about: Mapping[str, str]) -> bool:
        """Undo what earlier operations could not; as of `Journal.undo_left`, by whose locks this one must be held."""
        return await self._journal.undo_left(undo, about)

    async def step(self, action: Callable[[], Awaitable[Answer]], *, undo: str, arguments: Mapping[str, str]) -> Answer:
        """Take one step, noted with its undo before it runs."""
        row = JournalRow(self.id, len(self.steps), undo, dict(arguments))
        self.steps.insert(0, row)
        await self._journal.note(row)
        return await action()


class _Live:
    """The changing state of one operation."""

    def __init__(self, description: str, project: str, kind: str) -> None:
        self.id = str(uuid.uuid4())
        self.description, self.project, self.kind = description, project, kind
        self.status = RUNNING
        self.created_at: datetime = now()
        self.updated_at = self.created_at
        self.resources: dict[str, list[str]] | None = None
        self.metadata: dict[str, Any] | None = None
        self.cancellable = False
        self.err = ""
        self.task: asyncio.Task[None] | None = None
        self.connect: Connect | None = None
        self.secrets: dict[str, str] = {}
        self.longest_control = LONGEST_CONTROL
        self.finished = asyncio.Event()

    def view(self) -> Operation:
        return Operation(
            id=self.id, class_=self.kind, description=self.description, created_at=self.created_at,
            updated_at=self.updated_at, status=STATUS[self.status], status_code=self.status,
            resources=self.resources, metadata=self.metadata, may_cancel=self.cancellable and self.status < SUCCESS,
            err=self.err, location="none",
        )  # fmt: skip


class Operations:
    """All operations that run, and those that ended a moment ago; `locks` are what their work holds."""

    def __init__(self, events: Events, journal: Journal, locks: Locks) -> None:
        self._events, self._journal, self.locks = events, journal, locks
        self._live: dict[str, _Live] = {}

    def start(
        self,
        description: str,
        work: Work,
        *,
        project: str = "default",
        resources: Mapping[str, Sequence[str]] | None = None,
        metadata: Mapping[str, Any] | None = None,
        locks: Sequence[str] = (),
        cancellable: bool = False,
        sockets: Sequence[str] = (),
        secrets_below: str = "fds",
        connect: Connect | None = None,
        longest_control: int = LONGEST_CONTROL,
        at_end: Callable[[], None] | None = None,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> Operation:
        """Start work in the background and return its operation as it is now.

        `resources` maps kinds to URLs. With `sockets` (names of websockets) and `connect` the operation is of
        class websocket: each name gets a secret in `metadata.fds`, or in `metadata` itself where `secrets_below` is
        empty, and `connect(name, channel)` is called when a client brings it; a message on the one named `control` has
        at most `longest_control` bytes. `after` is awaited, then `locks` are held while the work runs.
        `at_end` is called before the operation is final, also when it was cancelled before its work began. Raises what
        those have told who hold one of the locks for long.
        """
        try:
            self.locks.check_idle(locks)
        except Failure:
            if at_end is not None:
                at_end()
            raise
        live = _Live(description, project, "websocket" if sockets else "task")
        live.resources = {kind: list(urls) for kind, urls in resources.items()} if resources else None
        live.metadata = dict(metadata) if metadata else None
        live.cancellable, live.connect, live.longest_control = cancellable, connect, longest_control
        if sockets:
            live.secrets = {name: secrets.token_hex(32) for name in sockets}
            told = {secrets_below: dict(live.secrets)} if secrets_below else live.secrets
            live.metadata = {**(live.metadata or {}), **told}
        self._live[live.id] = live
        self.announce(live)
        view = live.view()
        live.task = asyncio.create_task(
            self._carry_out(live, work, locks, at_end, after), name=f"operation {description} {live.id}"
        )
        return view

    def add_token(
        self,
        description: str,
        *,
        project: str = "default",
        resources: Mapping[str, Sequence[str]] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Operation:
        """A token: an operation without work, which runs until it is cancelled, as whoever accepts its secret does.

        Its metadata gets a `secret` (64 hexadecimal digits). It does not outlive the daemon. Source: LXD, class token.
        """
        live = _Live(description, project, "token")
        live.resources = {kind: list(urls) for kind, urls in resources.items()} if resources else None
        live.metadata = {**(metadata or {}), "secret": secrets.token_hex(32)}
        live.cancellable = True
        self._live[live.id] = live
        self.announce(live)
        return live.view()

    def tokens(self, description: str) -> Sequence[Operation]:
        """The tokens with this description that still hold."""
        found = [live for live in self._live.values() if live.kind == "token" and live.description == description]
        return [live.view() for live in found if live.status == RUNNING]

    def announce(self, live: _Live) -> None:
        """Tell listeners of a change."""
        live.updated_at = now()
        self._events.operation(live.view(), live.project)

    async def _carry_out(
        self,
        live: _Live,
        work: Work,
        locks: Sequence[str],
        at_end: Callable[[], None] | None,
        after: Callable[[], Awaitable[None]] | None,
    ) -> None:
        run = Run(live, self, self._journal)
        status, err = SUCCESS, ""
        try:
            with ExitStack() as stack:
                if at_end is not None:
                    stack.callback(at_end)
                if after is not None:
                    await after()
                async with self.locks.hold(locks) as run.held:
                    try:
                        await work(run)
                        live.cancellable = False
                        await self.settle_steps(run)
                    except BaseException:
                        await finished(self._journal.undo(run.steps))
                        raise
        except asyncio.CancelledError:
            status, err = CANCELLED, "Operation cancelled"
        except Failure as failure:
            status, err = FAILURE, failure.message()
        except OSError as error:
            log.warning("operation %s (%s) failed", live.description, live.id, exc_info=error)
            status, err = FAILURE, refused_by_host(error).message()
        except Exception as error:
            log.exception("operation %s (%s) failed", live.description, live.id)
            status, err = FAILURE, f"Internal error: {error!r}"
        self._end(live, status, err)

    def _end(self, live: _Live, status: int, err: str = "") -> None:
        live.status, live.err = status, err
        live.finished.set()
        self.announce(live)
        asyncio.get_running_loop().call_later(KEEP_FINISHED_S, self._live.pop, live.id, None)

    async def settle_steps(self, run: Run) -> None:
        """All is done. A cancellation that arrives now comes too late: it neither stops this nor undoes anything."""
        if run.steps:
            settling = asyncio.ensure_future(self._journal.settle(run.id))
            try:
                await finished(settling)
            except asyncio.CancelledError:
                settling.result()
            run.steps = []

    def _find(self, operation_id: str) -> _Live:
        try:
            return self._live[operation_id]
        except KeyError:
            raise NotFound("operation", operation_id) from None

    def get(self, operation_id: str) -> Operation:
        """The operation now. Raises NotFound, also ten seconds after its end."""
        return self._find(operation_id).view()

    def project_of(self, operation_id: str) -> str:
        """The project an operation belongs to. Raises NotFound."""
        return self._find(operation_id).project

    def list(self, project: str | None, *, with_server: bool = True) -> Sequence[Operation]:
        """Operations of one project, or of all with None; and the server's own, which no project has."""
        shown = [live for live in self._live.values() if live.project or with_server]
        return [live.view() for live in shown if project is None or live.project in (project, "")]

    async def wait(self, operation_id: str, timeout_s: float | None) -> Operation:
        """The operation once it is final, or as it is after the timeout (None waits for ever)."""
        live = self._find(operation_id)
        try:
            async with asyncio.timeout(timeout_s):
                await live.finished.wait()
        except TimeoutError:
            pass
        return live.view()

    def cancel(self, operation_id: str) -> None:
        """Ask an operation to stop and undo itself. Raises Invalid with LXD's texts."""
        live = self._find(operation_id)
        if live.status != RUNNING:
            raise Invalid("operation", operation_id, text="Only running operations can be cancelled")
        if live.kind == "token":
            self._end(live, CANCELLED)
            return
        if not live.cancellable or live.task is None:
            raise Invalid("operation", operation_id, text="This operation can't be cancelled")
        live.status = CANCELLING
        self.announce(live)
        live.task.cancel()

    def has_secret(self, operation_id: str, secret: str) -> bool:
        """Whether an operation is there and this is its secret: `metadata.secret`, which tokens have."""
        live = self._live.get(operation_id)
        known = (live.metadata or {}).get("secret", "") if live else ""
        return bool(known) and secrets.compare_digest(str(known).encode(), secret.encode())

    def claim(self, operation_id: str, secret: str) -> str:
        """The name of the websocket that a secret opens; a secret works once.

        Raises NotFound, Invalid for an operation that has ended or has no websockets, Forbidden for a wrong or used
        secret.
        """
        live = self._find(operation_id)
        if live.kind != "websocket":
            raise Invalid("operation", operation_id, text="Only websocket operations can be connected")
        if live.finished.is_set():
            raise Invalid("operation", operation_id, text="Only running operations can be connected")
        for name, wanted in live.secrets.items():
            if secrets.compare_digest(wanted.encode(), secret.encode()):
                del live.secrets[name]
                return name
        raise Forbidden("operation", operation_id, text="not authorized")

    def longest_control(self, operation_id: str) -> int:
        """Most bytes of one message on the operation's `control`. Raises NotFound."""
        return self._find(operation_id).longest_control

    async def connect(self, operation_id: str, name: str, channel: Channel) -> None:
        """Hand a claimed websocket to the operation; returns when it has no more use for it."""
        live = self._find(operation_id)
        if live.connect is not None:
            await live.connect(name, channel)

    async def settle(self, timeout_s: float) -> None:
        """Wait until all work has ended but that of websockets, which may last as long as somebody wishes."""
        tasks = [one.task for one in self._live.values() if one.task and not one.task.done() and not one.secrets]
        if tasks and timeout_s:
            log.info("waiting for %s operations", len(tasks))
            await asyncio.wait(tasks, timeout=timeout_s)

    async def close(self, timeout_s: float) -> None:
        """The daemon stops: wait for running operations, then cancel what is left and wait for its undo."""
        tasks = [live.task for live in self._live.values() if live.task and not live.task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
