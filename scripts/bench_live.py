"""What is changed while containers run, under the clock: one request to the daemon each, on a kept connection."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lightervisor.runtime.apparmor import COMPILE_ONLY, Profiles
from scripts.bench_systems import System  # from the checkout this script is in
from tests.harness import images
from tests.harness.daemon import UnixConnection

PORTS = 10_000
FIRST_PORT = 20_000
_BOX = "bench-live"


class Live:
    """A running container on each system, and a connection to its daemon."""

    def __init__(self, systems: list[System], folder: Path) -> None:
        self._connections = {system.name: UnixConnection(system.state / "unix.socket", 120) for system in systems}
        self._folder = folder / "shared"
        self._folder.mkdir()
        self._profiles = Profiles(folder / "security", COMPILE_ONLY)
        small = images.unified(folder / "live.tar.gz")
        for system in systems:
            if system.request("GET", "/1.0/images/aliases/bench-small")["type"] == "error":
                system.run("image", "import", small, "--alias", "bench-small")
            system.run("launch", "bench-small", _BOX)
            system.run("exec", _BOX, "--", "true")

    def limit(self, system: System, round_: int) -> float:
        """A memory limit is changed."""
        config = {"limits.memory": f"{100 + round_}MiB"}
        return self._timed(system, "PATCH", f"/1.0/instances/{_BOX}", {"config": config})

    def disk(self, system: System, round_: int) -> float:
        """A directory is added as a disk; it is taken away again off the clock."""
        name = f"disk{round_}"
        disk = {"type": "disk", "source": str(self._folder), "path": f"/mnt/{name}"}
        took = self._timed(system, "PATCH", f"/1.0/instances/{_BOX}", {"devices": {name: disk}})
        system.run("config", "device", "remove", _BOX, name)
        return took

    def proxy(self, system: System, round_: int) -> float:
        """A range of ports is forwarded; it is taken away again off the clock."""
        took, _ = self._proxied(system)
        return took

    def processes(self, system: System, round_: int) -> float:
        """The processes that serve such a range."""
        _, added = self._proxied(system)
        return added

    def _proxied(self, system: System) -> tuple[float, int]:
        ports = f"127.0.0.1:{FIRST_PORT}-{FIRST_PORT + PORTS - 1}"
        device = {"type": "proxy", "listen": f"tcp:{ports}", "connect": f"tcp:{ports}"}
        took = self._timed(system, "PATCH", f"/1.0/instances/{_BOX}", {"devices": {"ports": device}})
        added = _listeners(FIRST_PORT, FIRST_PORT + PORTS)
        system.run("config", "device", "remove", _BOX, "ports")
        return took, added

    def prepare_profile(self, system: System, users: int) -> None:
        """A profile that so many running containers have."""
        system.run("profile", "create", "bench-all")
        names = [f"bench-p{number}" for number in range(users)]
        for name in names:
            system.run("init", "bench-small", name, "--profile", "default", "--profile", "bench-all")
        system.run("start", *names)

    def profile(self, system: System, round_: int) -> float:
        """That profile gets another limit."""
        put = {"config": {"limits.memory": f"{100 + round_}MiB"}, "devices": {}, "description": ""}
        return self._timed(system, "PUT", "/1.0/profiles/bench-all", put)

    def first_confinement(self, system: System, round_: int) -> float:
        """The AppArmor profile of a container that starts for the first time; compiled as for a kernel that has it."""
        return self._confined(f"first{round_}")

    def next_confinement(self, system: System, round_: int) -> float:
        """The same for one that starts again with the same text."""
        self._confined("again")
        return self._confined("again")

    def _confined(self, name: str) -> float:
        start = time.perf_counter()
        self._profiles.load(name, {})
        return time.perf_counter() - start

    def forget_profile(self, system: System, users: int) -> None:
        """The users and the profile go."""
        system.run("delete", "--force", *(f"bench-p{number}" for number in range(users)))
        system.run("profile", "delete", "bench-all")

    def end(self, systems: list[System]) -> None:
        """Close the connections; the containers go with the systems."""
        for system in systems:
            self._connections[system.name].close()

    def _timed(self, system: System, method: str, path: str, body: object) -> float:
        """The seconds until it is done; a background operation is waited for."""
        start = time.perf_counter()
        answer = self._ask(system, method, path, body)
        if answer["type"] == "async":
            answer = self._ask(system, "GET", f"{answer['operation']}/wait", None)
            if answer["metadata"]["status"] != "Success":
                raise RuntimeError(f"{system.name}: {method} {path}: {answer['metadata']['err']}")
        took = time.perf_counter() - start
        if answer["type"] == "error":
            raise RuntimeError(f"{system.name}: {method} {path}: {answer['error']}")
        return took

    def _ask(self, system: System, method: str, path: str, body: object) -> dict[str, Any]:
        connection = self._connections[system.name]
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return json.loads(connection.getresponse().read())


def _listeners(first: int, end: int) -> int:
    """How many processes listen at these ports of the host."""
    sockets: set[str] = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and first <= int(words[1].rpartition(":")[2], 16) < end:
            sockets.add(f"socket:[{words[9]}]")
    found: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):  # it has ended meanwhile
            if any(str(one.readlink()) in sockets for one in entry.iterdir()):
                found.add(entry.parent.name)
    return len(found)
