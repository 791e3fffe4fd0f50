"""Launching and deleting on a daemon with faults, and what must be true of an instance afterwards."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness import leaks
from tests.harness.faults import Faults
from tests.harness.processes import PATIENCE_S, eventually

START = {"action": "start", "timeout": 30}
STOP = {"action": "stop", "force": True, "timeout": 30}
HANDED_OVER = "volatile.last_state.handed_over"
Outcome = dict[str, Any]


class Work:
    """What a client does; each method gives the operations that it started, as they ended."""

    def __init__(self, faults: Faults, *, driver: str = "overlay") -> None:
        self.faults, self.daemon, self.image, self._driver = faults, faults.daemon, "", driver
        # Cgroups have the names of containers, whichever daemon they are of.
        self._prefix, self._number = f"f{secrets.token_hex(2)}", itertools.count()

    def prepare(self, image: bytes) -> None:
        """Start the daemon and do once what is only done the first time."""
        self.daemon.start().initialise(driver=self._driver)
        added = self.daemon.operation("POST", "/1.0/images", image)
        assert added["status"] == "Success", added
        self.image = added["metadata"]["fingerprint"]
        self.effects_of_launch()

    def new_name(self) -> str:
        """A name that no instance has had."""
        return f"{self._prefix}-{next(self._number)}"

    def forget(self) -> None:
        """End the daemon and all it made."""
        self.faults.disarm()
        self.daemon.forget()

    def launch(self, name: str, *, has_network: bool = True) -> list[Outcome]:
        """Create and start."""
        devices = {} if has_network else {"eth0": {"type": "none"}}
        body = {"name": name, "source": {"type": "image", "fingerprint": self.image}, "devices": devices}
        return self.do(("POST", "/1.0/instances", body), ("PUT", f"/1.0/instances/{name}/state", START))

    def delete(self, name: str) -> list[Outcome]:
        """Stop and delete."""
        path = f"/1.0/instances/{name}"
        return self.do(("PUT", f"{path}/state", STOP), ("DELETE", path, None))

    def effects_of_launch(self) -> list[str]:
        """What a launch does to the world when nothing disturbs it."""
        name = self.new_name()
        self.rest()
        effects = self.faults.of(name, lambda: self.launch(name))
        self.delete(name)
        return effects

    def effects_of_delete(self) -> list[str]:
        """What a delete does to the world when nothing disturbs it."""
        name = self.new_name()
        self.launch(name)
        self.rest()
        return self.faults.of(name, lambda: self.delete(name))

    def do(self, *requests: tuple[str, str, object]) -> list[Outcome]:
        """Start these operations one after the other, as long as they succeed; how they ended."""
        done: list[Outcome] = []
        for request in requests:
            done.append(self.daemon.operation(*request))
            if done[-1]["status"] != "Success":
                break
        return done

    def launch_and_die(self, name: str) -> list[Outcome]:
        """Launch on a daemon that dies meanwhile."""
        return self.die_during(self.launch, name)

    def delete_and_die(self, name: str) -> list[Outcome]:
        """Delete on a daemon that dies meanwhile."""
        return self.die_during(self.delete, name)

    def die(self, part: Callable[[Work, str], list[Outcome]], name: str, label: str) -> None:
        """Have the daemon die at one effect of a part; it is not started again."""
        self.faults.arm("kill", name, label)
        with contextlib.suppress(OSError, http.client.HTTPException):
            part(self, name)
        self.daemon.bury()
        assert label in self.faults.effects()

    def start_to_die(self, name: str) -> None:
        """Start a daemon that may die before it serves, or while it does what it does about an instance by itself."""
        with contextlib.suppress(AssertionError):  # it says that it has ended
            self.daemon.start()
        if self.daemon.process is not None:
            eventually(lambda: self.has_ended() or self._has_recovered(name), what="recovery to end")
            if self.has_ended():
                self.daemon.bury()

    def has_ended(self) -> bool:
        """Whether the daemon has died."""
        return self.daemon.process is None or self.daemon.process.poll() is not None

    def _has_recovered(self, name: str) -> bool:
        try:
            return self._nothing_runs() and not self._comes_up(name)
        except (OSError, http.client.HTTPException):  # it is dying
            return False

    def die_during(self, part: Callable[[str], list[Outcome]], name: str) -> list[Outcome]:
        """Do something on a daemon that dies meanwhile, and start the next one."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            part(name)
        self.daemon.bury()
        self.faults.disarm()
        self.revive(name)
        return []

    def revive(self, name: str) -> None:
        """Start the daemon again and wait until it has done what it does about an instance by itself."""
        self.daemon.start()
        eventually(self._nothing_runs, what="recovery to end")
        eventually(lambda: not self._comes_up(name), what=f"{name} to be started with the daemon")

    def rest(self) -> None:
        """Wait until what an earlier delete left to be done behind is done: with the daemon's next start at last."""
        limit = time.monotonic() + 1
        while self._trash() and time.monotonic() < limit:
            time.sleep(0.005)
        if self._trash():
            self.daemon.restart()
        eventually(lambda: not self._trash(), what="the trash to be emptied")

    def _trash(self) -> list[Path]:
        return list(self.daemon.state.glob("storage-pools/*/trash/*"))

    def operations(self) -> dict[str, list[str]]:
        """URLs of operations by their status."""
        return self.daemon.request("GET", "/1.0/operations").metadata

    def _nothing_runs(self) -> bool:
        return "running" not in self.operations()

    def status(self, name: str, *, left: bool = False) -> str:
        """Running or Stopped, or "gone", each without remains of what it is not; else the test fails.

        A stop may have `left` something, when it has said so.
        """
        answer = self.daemon.request("GET", f"/1.0/instances/{name}")
        if answer.status == 404:
            self._nothing_left(lambda: leaks.of_instance(self.daemon, name))
            return "gone"
        status = answer.metadata["status"]
        assert status in ("Running", "Stopped")
        if status == "Stopped" and not left:
            self._nothing_left(lambda: leaks.of_stopped(self.daemon, name))
        return status

    def says(self, name: str) -> str:
        """The status of an instance, "" when there is none."""
        answer = self.daemon.request("GET", f"/1.0/instances/{name}")
        return "" if answer.status == 404 else answer.metadata["status"]

    def _comes_up(self, name: str) -> bool:
        """Whether it is one of those that the daemon starts with itself, and has not yet."""
        answer = self.daemon.request("GET", f"/1.0/instances/{name}")
        if answer.status == 404:
            return False
        config = answer.metadata["config"]
        wanted = config.get("volatile.last_state.power") == "RUNNING" and HANDED_OVER not in config
        return wanted and answer.metadata["status"] not in ("Running", "Frozen")

    @staticmethod
    def _nothing_left(look: Callable[[], list[str]]) -> None:
        # The kernel takes network interfaces away a moment after their container, and dnsmasq a lease; nothing else
        # has that moment.
        left: list[str] = look()
        limit = time.monotonic() + PATIENCE_S
        while left and all(one.startswith(("link:", "lease:")) for one in left) and time.monotonic() < limit:
            time.sleep(0.02)
            left = look()
        assert left == [], f"left behind: {left}"

    def make_whole(self, name: str, *, left: bool = False) -> None:
        """Check that an instance is whole: it can be started, runs commands, stops and is deleted without a trace."""
        if self.status(name, left=left) == "Stopped":
            started = self.daemon.operation("PUT", f"/1.0/instances/{name}/state", START)
            assert started["status"] == "Success", started["err"]
        body = {"command": ["cat", "/etc/passwd"], "record-output": True, "interactive": False}
        assert self.daemon.operation("POST", f"/1.0/instances/{name}/exec", body)["metadata"]["return"] == 0
        ended = self.delete(name)
        assert [one["status"] for one in ended] == ["Success", "Success"], ended
        assert self.status(name) == "gone"
