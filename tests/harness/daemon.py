"""A daemon for tests: state, logs and bridge of its own, so that several can run beside each other and a real LXD."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from tests.harness import processes
from tests.harness.processes import PATIENCE_S, REPOSITORY, Done, eventually

PREFIX = "lv-test-"
BRIDGE_PREFIX = "lvt"
LXD = REPOSITORY / "bin/lxd"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the daemon's unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("unix.socket", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Answer:
    """What the API said: HTTP status, headers, and the envelope when it is JSON."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers.items()}, body

    @property
    def envelope(self) -> dict[str, Any]:
        """The seven keys of every JSON answer."""
        return json.loads(self.body)

    @property
    def metadata(self) -> Any:
        """The answer's payload; fails the test when the answer is an error."""
        assert self.envelope["type"] != "error", self.envelope
        return self.envelope["metadata"]

    @property
    def error(self) -> str:
        """The error's text, empty when there is none."""
        return self.envelope["error"]


class Running(Protocol):
    """A process, as far as tests need it; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...

    def kill(self) -> None: ...


class Daemon:
    """One `lxd` process and its state directory."""

    def __init__(self, *, program: Path = LXD, env: Mapping[str, str] | None = None) -> None:
        # Not in /tmp/pytest-of-root: containers must be able to walk to their root, and a socket's path is short.
        self.state = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/var/tmp"))
        self.state.chmod(0o711)
        self.bridge = f"{BRIDGE_PREFIX}{secrets.token_hex(3)}"
        self.log = self.state.with_suffix(".log")
        self.program = program
        self._extra = dict(env or {})
        self.process: Running | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes a client talk to this daemon."""
        return {"LXD_DIR": str(self.state), **self._extra}

    @property
    def pid(self) -> int:
        """The process id of the running daemon."""
        assert self.process is not None, "the daemon is not running"
        return self.process.pid

    def start(self, *, wait_s: float = 2 * PATIENCE_S) -> Daemon:
        """Start the program and wait until it serves; fails the test with its log when it does not."""
        assert self.process is None, "the daemon is running already"
        with self.log.open("ab") as log:
            self.process = self._started([str(self.program), "--group", "root", "--debug"], log)
        try:
            eventually(self._serves_or_ended, timeout_s=wait_s, what="the daemon to serve")
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}\n{self.tail()}"
        except BaseException:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)
            self.process = None
            raise
        return self

    def _started(self, words: list[str], log: IO[bytes]) -> Running:
        return subprocess.Popen(
            words,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _serves_or_ended(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return True
        try:
            return self.request("GET", "/1.0").status == 200
        except OSError:
            return False

    def run(self, *words: str, stdin: str = "", timeout_s: float = 60) -> Done:
        """Run one of the program's own commands (`init`, `shutdown`, `waitready`, ...) on this state."""
        return processes.run([self.program, *words], env=self.env, stdin=stdin, timeout_s=timeout_s)

    def tail(self, lines: int = 30) -> str:
        """The end of the daemon's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def initialise(self, *, driver: str = "overlay") -> Daemon:
        """What `lxd init` sets up, with this daemon's own bridge."""
        preseed = {
            "networks": [
                {"name": self.bridge, "type": "bridge", "config": {"ipv4.address": "auto", "ipv6.address": "auto"}}
            ],
            "storage_pools": [{"name": "default", "driver": driver}],
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
        self.run("init", "--preseed", stdin=json.dumps(preseed)).ok()
        return self

    def kill(self) -> None:
        """End the daemon as a crash does: SIGKILL, nothing tidied, the containers go on."""
        self._end(signal.SIGKILL)

    def bury(self) -> None:
        """The daemon ended without being asked from here; one that has not within 5 s is killed."""
        assert self.process is not None, "the daemon is not running"
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)
        self.process = None

    def stop(self) -> None:
        """Ask the daemon to end and leave its containers running (SIGTERM)."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None, "the daemon is not running"
        self.process.send_signal(number)
        self.process.wait(timeout=PATIENCE_S)
        self.process = None

    def restart(self) -> Daemon:
        """Stop and start again."""
        self.stop()
        return self.start()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Answer:
        """One request to the API; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        connection = UnixConnection(self.state / "unix.socket", timeout_s)
        try:
            connection.request(method, path, data, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def operation(self, method: str, path: str, body: object = None, *, timeout_s: float = 60) -> dict[str, Any]:
        """A request that starts an operation, waited for; the finished operation, whatever its outcome."""
        started = self.request(method, path, body)
        assert started.status == 202, f"{method} {path}: {started.status} {started.body!r}"
        url = started.envelope["operation"].partition("?")[0]
        return self.request("GET", f"{url}/wait", timeout_s=timeout_s).metadata

    def most_memory_kib(self) -> int:
        """The most memory that the daemon has had so far."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    def instance_names(self) -> list[str]:
        """The names of all instances."""
        return [url.rpartition("/")[2] for url in self.request("GET", "/1.0/instances").metadata]

    def forget(self) -> None:
        """Delete every instance, image, profile and network, stop the daemon, remove the state directory."""
        try:
            if self.process is None:
                self.start()
            for name in self.instance_names():
                self.request("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
                eventually(lambda name=name: self._is_down(name), what=f"{name} to stop")
                self.operation("DELETE", f"/1.0/instances/{name}")
            self.request("PUT", "/1.0/profiles/default", {"config": {}, "devices": {}, "description": ""})
            for url in self.request("GET", "/1.0/images").metadata:
                self.operation("DELETE", url)
            for network in self.request("GET", "/1.0/networks?recursion=1").metadata:
                if network["managed"]:
                    self.request("DELETE", f"/1.0/networks/{network['name']}")
            for url in self.request("GET", "/1.0/storage-pools").metadata:
                for volume in self.request("GET", f"{url}/volumes/custom").metadata:
                    self.request("DELETE", volume)
                self.request("DELETE", url)
        finally:
            if self.process is not None:
                self.ask_to_shut_down()
                try:
                    self.process.wait(timeout=PATIENCE_S)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait(timeout=PATIENCE_S)
                self.process = None

    def ask_to_shut_down(self) -> None:
        """Let the daemon stop its containers and end."""
        self.run("shutdown", "--timeout=30", timeout_s=60)

    def remove(self) -> None:
        """Delete what is left of the state directory; never walks into something that is mounted there."""
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        if not any(place.startswith(f"{self.state}/") for place in mounted):
            shutil.rmtree(self.state, ignore_errors=True)
            self.log.unlink(missing_ok=True)

    def _is_down(self, name: str) -> bool:
        answer = self.request("GET", f"/1.0/instances/{name}")
        return answer.status == 404 or answer.metadata["status"] == "Stopped"
