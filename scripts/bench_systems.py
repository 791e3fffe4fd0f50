"""The two systems under the clock, each with a state directory, a bridge and a client of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness.daemon import UnixConnection  # from the checkout this script is in
from tests.harness.processes import REPOSITORY, eventually

REAL = Path("/usr/bin/lxd")


def pss_mib(pid: int) -> float:
    """Memory of a process, shared pages counted by their share."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
        return 0.0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def ancestors(pid: int) -> list[int]:
    """The processes above this one, less the host's init; none for 0."""
    if pid <= 0:
        return []
    found = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    parent = int(found[1]) if found else 0
    return [parent, *ancestors(parent)] if parent > 1 else []


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and theirs."""
    children = [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]
    return [process for child in children for process in (child, *descendants(child))]


class System:
    """One daemon and its client."""

    def __init__(self, name: str, daemon: Path, client: Path, *, driver: str, bridge: str, subnet: str) -> None:
        self.name, self.client, self.driver, self.bridge, self.subnet = name, client, driver, bridge, subnet
        self.state = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir="/var/tmp"))
        self.state.chmod(0o711)
        conf = self.state / "client"
        conf.mkdir()
        (conf / "config.yml").write_text("default-remote: local\n")
        self.env = {**os.environ, "LXD_DIR": str(self.state), "LXD_CONF": str(conf)}
        self._daemon = daemon
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon and set up a pool, a bridge and the default profile."""
        with (self.state / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._daemon, "--group", "root"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        subprocess.run([self._daemon, "waitready", "--timeout=60"], env=self.env, check=True)
        preseed = {
            "networks": [
                {
                    "name": self.bridge,
                    "type": "bridge",
                    "config": {"ipv4.address": f"{self.subnet}.1/24", "ipv6.address": "none", "ipv4.nat": "false"},
                }
            ],
            "storage_pools": [{"name": "default", "driver": self.driver}],
            "profiles": [
                {
                    "name": "default",
                    "devices": {
                        "root": {"type": "disk", "path": "/", "pool": "default"},
                        "eth0": {"type": "nic", "name": "eth0", "network": self.bridge},
                    },
                }
            ],
        }
        words = [self._daemon, "init", "--preseed"]
        subprocess.run(words, env=self.env, input=json.dumps(preseed).encode(), check=True)

    def run(self, *words: str | Path) -> float:
        """Run the client; the seconds it took."""
        start = time.perf_counter()
        done = subprocess.run(
            [self.client, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False
        )
        took = time.perf_counter() - start
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, words))}: {done.stderr.decode(errors='replace')}")
        return took

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One request to the API; the whole answer, an error too."""
        connection = UnixConnection(self.state / "unix.socket", 60)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def get(self, path: str) -> Any:
        """The metadata of one GET."""
        return self.request("GET", path)["metadata"]

    def instance(self, name: str) -> dict[str, Any]:
        """What the API says about an instance."""
        return self.get(f"/1.0/instances/{name}")

    def gets_per_second(self, path: str, *, for_s: float = 1.0) -> float:
        """How many GETs, one after the other on a connection that is kept, are answered in a second."""
        connection, count, start = UnixConnection(self.state / "unix.socket", 60), 0, time.perf_counter()
        while time.perf_counter() - start < for_s:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.name}: GET {path}: {answer.status}")
            count += 1
        took = time.perf_counter() - start
        connection.close()
        return count / took

    @property
    def pid(self) -> int:
        """The daemon's."""
        assert self._process is not None
        return self._process.pid

    def manager_mib(self) -> float:
        """Memory of the daemon, what it keeps beside it and what watches the containers; dnsmasq not counted."""
        daemon = {self.pid, *descendants(self.pid)}
        monitors: set[int] = set()
        for state in self.get("/1.0/instances?recursion=2"):
            monitors.update(ancestors(int(state["state"]["pid"])))
        return sum(pss_mib(pid) for pid in daemon | monitors if not _is_foreign(pid))

    def stop(self) -> None:
        """Delete everything, end the daemon, remove the state directory."""
        if self._process is None:
            shutil.rmtree(self.state)
            return
        if names := [url.rpartition("/")[2] for url in self.get("/1.0/instances")]:
            self.run("delete", "--force", *names)
        self.request("PUT", "/1.0/profiles/default", {"config": {}, "devices": {}})
        for image in self.get("/1.0/images"):
            operation = self.request("DELETE", image)["operation"]
            self.request("GET", f"{operation}/wait")
        for path in (f"/1.0/networks/{self.bridge}", "/1.0/storage-pools/default"):
            answer = self.request("DELETE", path)
            if answer["type"] == "error":
                print(f"{self.name}: {path}: {answer['error']}", file=sys.stderr)
        subprocess.run([self._daemon, "shutdown", "--timeout=60"], env=self.env, check=False)
        self._process.wait(timeout=60)
        self._process = None
        eventually(lambda: not self._mounted(), what=f"{self.name}'s mounts to go")
        shutil.rmtree(self.state)

    def _mounted(self) -> bool:
        return f" {self.state}/" in Path("/proc/mounts").read_text().replace(f"{self.state}/shmounts", "")


def _is_foreign(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return command.startswith(b"dnsmasq") or b"lxc.payload" in Path(f"/proc/{pid}/cgroup").read_bytes()


def ours(*, peer: bool = False) -> System:
    """Lightervisor from this checkout; `peer` is a second one beside it."""
    name, bridge, subnet = ("ours2", "benchours2", "10.241.3") if peer else ("ours", "benchours", "10.241.1")
    daemon, client = REPOSITORY / "bin/lxd", REPOSITORY / "bin/lxc"
    return System(name, daemon, client, driver="overlay", bridge=bridge, subnet=subnet)


def real(*, peer: bool = False) -> System:
    """The LXD that the distribution packages."""
    name, bridge, subnet = ("lxd2", "benchlxd2", "10.241.4") if peer else ("lxd", "benchlxd", "10.241.2")
    return System(name, REAL, Path("/usr/bin/lxc"), driver="dir", bridge=bridge, subnet=subnet)


MAKERS = (ours, real)
