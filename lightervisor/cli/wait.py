"""`lxc wait`, and the waiting of `lxc launch --wait`: until an instance is as far as one needs it.

What the server tells of at once (it runs, stopped, is ready) comes by its events; what only the instance knows is
looked at again after longer and longer pauses.
"""

from __future__ import annotations

import time

from lightervisor.cli import answers, wait_conditions
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_json
from lightervisor.client.light import ApiError, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.progress import Line
    from lightervisor.cli.session import Session
    from lightervisor.cli.wait_conditions import Condition
    from lightervisor.client.light import Server
    from lightervisor.client.light_websocket import WebSocket

TIMED_OUT = 124
"""The exit status when the time is over, as timeout(1) has it."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.1, 2.0, 1.5
_LAST_LINES = 10
_RESTART_S = 2.0
"""How long an instance may be stopped while it is waited for: it may be restarting."""


class _TimeOver(CommandError):
    """It was waited long enough."""


def run(session: Session, arguments: list[str], flags: Flags) -> int:
    """Wait until an instance is as far as `--for` says."""
    server, name = session.resolve_name(arguments[0])
    return until(session, server, name, wanted=flags.text("for"), timeout_s=flags.number("timeout"))


def until(session: Session, server: Server, name: str, *, wanted: str, timeout_s: int) -> int:
    """Wait until what is `wanted` ("ip,tcp:22") holds; below 0 seconds for ever. The exit status of the command.

    Raises CommandError when it cannot come true.
    """
    from lightervisor.cli import progress

    conditions = wait_conditions.parse(wanted)
    line = progress.Line(f"Waiting for {name}", is_shown=session.shows_progress())
    try:
        _Wait(server, name, conditions, line).end(None if timeout_s < 0 else time.monotonic() + timeout_s, timeout_s)
    except _TimeOver as error:
        line.done()
        session.warn(f"Error: {error.message()}")
        return TIMED_OUT
    finally:
        line.done()
    return 0


class _Wait:
    """One instance and what is not true of it yet."""

    def __init__(self, server: Server, name: str, conditions: list[tuple[str, Condition]], line: Line) -> None:
        self._server, self._name, self._line = server, name, line
        self._left: list[tuple[str, Condition]] = conditions
        self._down_since: float | None = None

    def end(self, limit: float | None, timeout_s: int) -> None:
        """Return when nothing is left. Raises CommandError for what will not come, _TimeOver."""
        # Before the first look: what happens after that look is told.
        events = self._server.websocket(url("events", type="lifecycle"))
        pause = _FIRST_PAUSE_S
        try:
            while (missing := self._look()) != "":
                self._line.show(missing)
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    word = self._left[0][0]
                    text = f"{self._name}: {word} has not come true within {timeout_s} s: {missing}"
                    raise _TimeOver(text + self._last_lines())
                if self._is_told(events, pause if left is None else min(pause, left)):
                    pause = _FIRST_PAUSE_S
                else:
                    pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)
        finally:
            events.close()

    def _look(self) -> str:
        """What is missing of the first condition that does not hold yet, "" when all hold."""
        try:
            instance: dict[str, Any] = self._server.get(url("instances", self._name, recursion=1))
        except ApiError as error:
            if error.code == 404:
                raise CommandError(f"There is no instance {self._name}", "it was deleted, or never made") from error
            raise
        is_down = instance.get("status") in ("Stopped", "Error")
        self._down_since = (self._down_since or time.monotonic()) if is_down else None
        while self._left:
            word, holds = self._left[0]
            if self._down_since is not None and word not in wait_conditions.NOT_RUNNING:
                if time.monotonic() - self._down_since < _RESTART_S:
                    return "it has stopped"
                text = f"{self._name} does not run (lxc start {self._name}), so {word} cannot come true"
                raise CommandError(text + self._last_lines())
            try:
                missing = holds(self._server, instance)
            except ApiError as error:
                missing = error.message()  # it is starting or stopping; the next look tells
            if missing:
                return missing
            self._left = self._left[1:]
        return ""

    def _is_told(self, events: WebSocket, timeout_s: float) -> bool:
        """Wait for news of the instance, at most so long."""
        limit = time.monotonic() + timeout_s
        while (left := limit - time.monotonic()) > 0:
            message = events.receive(left)
            if message is None:
                if not events.is_open:
                    raise CommandError(f"{self._server.name} ended the connection", "lxc wait waits again")
                return False
            source = str(light_json.loads(message[1])["metadata"].get("source", "")).partition("?")[0]
            if source == f"/1.0/instances/{self._name}":
                return True
        return False

    def _last_lines(self) -> str:
        """The end of what its console said, to be shown after a failure."""
        try:
            log = answers.content(self._server.request("GET", url("instances", self._name, "console")))
        except (ApiError, OSError):
            return ""
        # A guest must not write to the terminal as it likes.
        texts = (
            "".join(one for one in line if one.isprintable()) for line in log.decode(errors="replace").splitlines()
        )
        lines = [text.rstrip() for text in texts if text.strip()]
        if not lines:
            return ""
        return "\nThe last lines of its console:\n" + "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
