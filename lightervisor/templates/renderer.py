"""The daemon's side of rendering: requests to a process that is started when it is needed and ends when it is not."""

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import process

_START = "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from lightervisor.templates.worker import main; main()"
_PACKAGE = Path(__file__).parent.parent.parent
_ATTEMPTS = 2  # a process that ended by itself is met once


class Job(Struct, frozen=True, kw_only=True):
    """One file to be made: its template, the template's name for messages, and the variables it sees."""

    name: str
    template: bytes
    variables: Mapping[str, object]


class Renderer:
    """Renders, one request at a time. Blocking; called on a worker thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: process.Child | None = None

    def prepare(self) -> None:
        """Start the process, which takes a moment, so that it is there when it is needed. Raises HostError."""
        if self._lock.acquire(blocking=False):  # else somebody is using it
            try:
                self._running()
            finally:
                self._lock.release()

    def render(self, jobs: Sequence[Job], config: Mapping[str, str], *, instance: str) -> list[bytes]:
        """What the jobs' files hold, for an instance with this configuration.

        Raises Invalid naming the template that cannot be rendered, and why; HostError when there is no process for it.
        """
        request = {
            "jobs": [
                {"template": job.template.decode(errors="surrogateescape"), "variables": job.variables} for job in jobs
            ],
            "config": config,
        }
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            answer = self._asked(line)
        if "error" in answer:
            place = cast("int | None", answer.get("place"))
            name = ", ".join(job.name for job in jobs) if place is None else jobs[place].name
            remedy = "" if place is None else f"lxc config template edit {instance} {name}"
            raise Invalid("template", name, cause=answer["error"], remedy=remedy)
        return [text.encode(errors="surrogateescape") for text in answer["texts"]]

    def close(self) -> None:
        """Let the process end."""
        with self._lock:
            self._drop()

    def _asked(self, line: bytes) -> dict[str, Any]:
        for _ in range(_ATTEMPTS):
            child = self._running()
            try:
                if child.stdin is not None and child.stdout is not None:
                    child.stdin.write(line)
                    child.stdin.flush()
                    answer = child.stdout.readline()
                    if answer.endswith(b"\n"):
                        return json.loads(answer)
            except (BrokenPipeError, ValueError):
                pass
            self._drop()
        raise HostError("templates", cause="the process that renders them has ended", remedy="try again")

    def _running(self) -> process.Child:
        if self._child is None or self._child.poll() is not None:
            self._drop()
            places = ":".join([str(_PACKAGE), *(place for place in sys.path if place)])
            argv = [sys.executable, "-IS", "-c", _START, places]
            self._child = process.spawn(argv, stdin=process.PIPE, stdout=process.PIPE, stderr=None, new_session=True)
        return self._child

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
