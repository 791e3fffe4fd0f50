"""The tester's side of a daemon with faults: which effects a piece of work has, and what happens at one of them."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from tests.harness import faulty_daemon
from tests.harness.daemon import Daemon, Running
from tests.harness.nursery import Nursery
from tests.harness.processes import REPOSITORY

PROGRAM = f"""\
#!{sys.executable}
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.harness.faulty_daemon import main
sys.exit(main())
"""


class FaultyDaemon(Daemon):
    """A daemon of a nursery."""

    def __init__(self, nursery: Nursery, program: Path, env: Mapping[str, str]) -> None:
        super().__init__(program=program, env=env)
        self._nursery = nursery

    def _started(self, words: list[str], log: IO[bytes]) -> Running:
        return self._nursery.start(words, {**os.environ, **self.env}, log)


class Faults:
    """The plan of one daemon. Effects are named by labels such as "os.mkdir $LXD_DIR/devices/NAME #1"."""

    def __init__(self, nursery: Nursery, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / "plan"
        plan.write_bytes(bytes(faulty_daemon.SIZE))
        self._trace = plan.with_suffix(".trace")
        self._trace.touch()
        with plan.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), faulty_daemon.SIZE)
        self._serial = 0
        program = folder / "lxd"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.arm("off")
        self.daemon = FaultyDaemon(nursery, program, {faulty_daemon.PLAN_ENV: str(plan), **(env or {})})

    def arm(self, mode: str, name: str = "", label: str = "") -> None:
        """From now on: "record" the effects, or "fail", "kill", "cancel", "hold" or kill the "spawner" at one.

        `name` is the instance's.
        """
        self._serial += 1
        text = "\n".join([str(self._serial), mode, name, label, ""]).encode()
        assert len(text) < faulty_daemon.SIZE
        self._trace.write_bytes(b"")
        self._map[:] = text.ljust(faulty_daemon.SIZE, b"\0")

    def effects(self) -> list[str]:
        """The labels of the effects since the last `arm`, in their order."""
        return self._trace.read_text().splitlines()

    def disarm(self) -> list[str]:
        """Let everything happen again; the effects since the last `arm`."""
        self.arm_silently()
        return self.effects()

    def arm_silently(self) -> None:
        """As `arm("off")`, keeping the effects."""
        self._serial += 1
        self._map[:] = f"{self._serial}\noff\n\n\n".encode().ljust(faulty_daemon.SIZE, b"\0")

    def of(self, name: str, work: Callable[[], object]) -> list[str]:
        """The effects of a piece of work that nothing disturbs."""
        self.arm("record", name)
        work()
        return self.disarm()
