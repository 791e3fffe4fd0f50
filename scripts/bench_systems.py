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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness.daemon import UnixConnection  # from the checkout this script is in
from tests.harness.processes import REPOSITORY, eventually


def pss_mib(pid: int) -> float:
    """Memory of a process, shared pages counted by their share."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def parent(pid: int) -> int:
    """The parent's process id."""
    found = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


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

    def get(self, path: str) -> object:
        """The metadata of one GET."""
        connection = UnixConnection(self.state / "unix.socket", 60)
        connection.request("GET", path)
        metadata = json.loads(connection.getresponse().read())["metadata"]
        connection.close()
        return metadata

    def seconds_per_get(self, path: str, *, for_s: float = 2.0) -> float:
        """The time one GET takes on a connection that is kept."""
        connection, count, start = UnixConnection(self.state / "unix.socket", 60), 0, time.perf_counter()
        while time.perf_counter() - start < for_s:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.name}: GET {path}: {answer.status}")
            count += 1
        took = (time.perf_counter() - start) / count
        connection.close()
        return took

    def daemon_mib(self) -> float:
        """Memory of the daemon and of what it keeps beside it; containers' monitors and dnsmasq not counted."""
        assert self._process is not None
        own = [self._process.pid, *descendants(self._process.pid)]
        return sum(pss_mib(pid) for pid in own if not _belongs_to_a_container(pid))

    def monitor_mib(self, instance: str) -> float:
        """Memory that one running container costs its manager: the parents of its init, below the daemon."""
        assert self._process is not None
        state = self.get(f"/1.0/instances/{instance}/state")
        assert isinstance(state, dict)
        mine = {0, 1, self._process.pid, *descendants(self._process.pid)}
        pid, total = parent(int(state["pid"])), 0.0
        while pid not in mine or _belongs_to_a_container(pid):
            total += pss_mib(pid)
            pid = parent(pid)
            if pid <= 1:
                break
        return total

    def names(self) -> list[str]:
        """The names of all instances."""
        found = self.get("/1.0/instances")
        assert isinstance(found, list)
        return [str(url).rpartition("/")[2] for url in found]

    def stop(self) -> None:
        """Delete everything, end the daemon, remove the state directory."""
        if self._process is None:
            return
        if names := self.names():
            self.run("delete", "--force", *names)
        subprocess.run(
            [self.client, "profile", "edit", "default"],
            env=self.env, input=b"config: {}\ndevices: {}\n", check=False, capture_output=True,
        )  # fmt: skip
        for words in (["network", "delete", self.bridge], ["image", "delete", "bench-small", "bench-big"]):
            subprocess.run([self.client, *words], env=self.env, check=False, capture_output=True)
        subprocess.run([self.client, "storage", "delete", "default"], env=self.env, check=False, capture_output=True)
        subprocess.run([self._daemon, "shutdown", "--timeout=60"], env=self.env, check=False)
        self._process.wait(timeout=60)
        self._process = None
        eventually(lambda: not self._mounted(), what=f"{self.name}'s mounts to go")
        shutil.rmtree(self.state)

    def _mounted(self) -> bool:
        return f" {self.state}/" in Path("/proc/mounts").read_text().replace(f"{self.state}/shmounts", "")


def _belongs_to_a_container(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return (
        b"[lxc monitor]" in command
        or b"dnsmasq" in command
        or b"lxc.payload" in Path(f"/proc/{pid}/cgroup").read_bytes()
    )


def ours() -> System:
    """Lightervisor from this checkout."""
    return System(
        "ours", REPOSITORY / "bin/lxd", REPOSITORY / "bin/lxc", driver="overlay", bridge="benchours", subnet="10.241.1"
    )


def real() -> System:
    """The LXD that the distribution packages."""
    return System("lxd", Path("/usr/bin/lxd"), Path("/usr/bin/lxc"), driver="dir", bridge="benchlxd", subnet="10.241.2")
