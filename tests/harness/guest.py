"""Programs in a running container that speak to the guest API: the host's Python in the guest's namespaces.

It enters the user and pid namespaces alone, so that no image has to have an interpreter, and connects to the socket
that the container sees at /dev/lxd, whatever is mounted there.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.harness import processes
from tests.harness.daemon import Answer, Daemon
from tests.harness.processes import Done

PYTHON = "/usr/bin/python3"
PRELUDE = """
import base64, ctypes, http.client, json, os, socket, sys, time
place, user, arguments = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
os.chdir(place)
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
def connect(timeout=10):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout)
    client.connect("sock")
    return client
def ask(method, path, body=None, headers={}, client=None):
    connection = http.client.HTTPConnection("lxd")
    connection.sock = client or connect()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return [answer.status, dict(answer.getheaders()), base64.b64encode(answer.read()).decode()]
def tell(value):
    print(json.dumps(value), flush=True)
"""
ASK = "tell(ask(*arguments))"
Launch = Callable[..., "Guest"]


class Guest:
    """The inside of one running container; `place` is the directory with the socket, /dev/lxd of it by default."""

    def __init__(self, daemon: Daemon, name: str, *, place: str = "") -> None:
        self.pid: int = daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]
        self.name, self._place = name, place or f"/proc/{self.pid}/root/dev/lxd"

    def command(self, code: str, *arguments: Any, user: int = 0, wrapper: tuple[str, ...] = ()) -> list[str]:
        """The command that runs this code inside; it has `connect`, `ask`, `tell` and `arguments`."""
        users = Path(f"/proc/{self.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
        enter = ["nsenter", "-t", str(self.pid), "-p", *(["-U", "-S", "0", "-G", "0"] if users else []), "--"]
        return [*enter, *wrapper, PYTHON, "-I", "-c", PRELUDE + code, self._place, str(user), json.dumps(arguments)]

    def run(
        self, code: str, *arguments: Any, user: int = 0, wrapper: tuple[str, ...] = (), timeout_s: float = 60
    ) -> Done:
        """Run code inside to its end."""
        return processes.run(self.command(code, *arguments, user=user, wrapper=wrapper), timeout_s=timeout_s)

    def start(self, code: str, *arguments: Any) -> subprocess.Popen[str]:
        """Run code inside, and do not wait."""
        command = self.command(code, *arguments)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        user: int = 0,
        wrapper: tuple[str, ...] = (),
    ) -> Answer:
        """One request to the guest API."""
        done = self.run(ASK, method, path, body, dict(headers or {}), user=user, wrapper=wrapper).ok()
        status, answered, text = json.loads(done.stdout)
        return Answer(status, answered, base64.b64decode(text))

    def is_reachable(self) -> bool:
        """Whether there is a socket that answers."""
        return self.run("tell(ask('GET', '/'))").status == 0
