"""The process that renders templates, which come from images that nobody vouches for. Started by `renderer`.

Each request is one line of JSON on standard input, its answer one line on standard output. The work is done in a fork
that has a limit of time and of memory, can open no file and start no process, and is nobody; it serves one request,
so that nothing passes from one instance to another. Only the standard library and Jinja2 are loaded. Without a request
the process ends by itself.
"""

import importlib
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

from lightervisor.templates.language import BadTemplate, BadValue, render

IDLE_S = 20
CPU_S, WALL_S = 2, 10
MEMORY = 512 << 20
NOBODY = 65534
_TOO_LARGE = f"needs more than {MEMORY >> 20} MiB of memory"


def main() -> None:
    """Serve requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    importlib.import_module("jinja2.debug")  # Jinja2 loads it when a template fails, which a fork cannot
    with suppress(OSError):  # a container may not have this id, and tests may not be root
        be_nobody()
    while True:
        signal.alarm(IDLE_S)
        request = sys.stdin.buffer.readline()
        signal.alarm(0)
        if not request.endswith(b"\n"):
            return
        sys.stdout.buffer.write(_answer(request) + b"\n")
        sys.stdout.buffer.flush()


def be_nobody() -> None:
    """Give up what root may do. Raises OSError."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _answer(request: bytes) -> bytes:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _serve(request, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        taken = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)
        cause = f"takes longer than {CPU_S} s" if taken else f"ended its process by signal {os.WTERMSIG(status)}"
        return json.dumps({"error": cause}).encode()
    return answer


def limit() -> None:
    """Take from this process what rendering does not need: more time, more memory, files and processes."""
    limits = {
        resource.RLIMIT_CPU: (CPU_S, CPU_S + 1),
        resource.RLIMIT_AS: (MEMORY, MEMORY),
        resource.RLIMIT_NOFILE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, values in limits.items():
        resource.setrlimit(kind, values)


def _serve(request: bytes, writer: int) -> NoReturn:
    """The life of one fork. What it says is one line of JSON, whatever happens."""
    try:
        limit()
        signal.alarm(WALL_S)
        try:
            answer = json.dumps(_rendered(json.loads(request))).encode()
        except MemoryError:
            answer = json.dumps({"error": _TOO_LARGE}).encode()
        except Exception as error:  # noqa: BLE001 -- the daemon waits for a line
            answer = json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _rendered(request: dict[str, Any]) -> dict[str, Any]:
    texts: list[str] = []
    for job in request["jobs"]:
        try:
            texts.append(render(job["template"], job["variables"], request["config"]))
        except (BadTemplate, BadValue) as error:
            return {"error": str(error), "place": len(texts)}
        except MemoryError:
            return {"error": _TOO_LARGE, "place": len(texts)}
    return {"texts": texts}
