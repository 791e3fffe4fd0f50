"""Every effect of showing a device that has come, and of taking away one that has gone: if it fails, or is the last.

Afterwards the container has what the host has, at the latest with the next change of the host's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.strikes import ALL, COUNTS, some, struck
from tests.faults.work import Work
from tests.harness.processes import eventually

INSIDE = "dev/come-and-go"
LEAST = 3


class Box:
    """A running container with a device that need not be there."""

    def __init__(self, work: Work, node: Path) -> None:
        self.work, self.node, self.name = work, node, work.new_name()
        assert work.launch(self.name, has_network=False)[-1]["status"] == "Success"
        device = {"type": "unix-char", "source": str(node), "path": f"/{INSIDE}", "required": "false"}
        path = f"/1.0/instances/{self.name}"
        assert work.daemon.request("PATCH", path, {"devices": {"n": device}}).status == 200
        pid = work.daemon.request("GET", f"{path}/state").metadata["pid"]
        self.inside = Path(f"/proc/{pid}/root") / INSIDE

    def come(self) -> None:
        """The device comes to the host."""
        os.mknod(self.node, stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def go(self) -> None:
        """The device goes from the host."""
        self.node.unlink()

    def is_shown(self) -> bool:
        """Whether it is there inside; half there is neither."""
        return self.inside.is_char_device()

    def settles(self) -> None:
        """Inside becomes what the host is, and nothing is left over."""
        sides = self.work.daemon.state / "devices" / self.name
        if self.node.exists():
            eventually(self.is_shown, what="the device to be shown")
        else:
            eventually(lambda: not self.inside.exists(), what="the device to be taken away")
            eventually(lambda: not list(sides.glob("unix.*")), what="its node to be removed")


@pytest.fixture
def box(work: Work, tmp_path: Path) -> Iterator[Box]:
    yield Box(work, tmp_path / "node")


@pytest.mark.parametrize("mode", ["fail", "kill"])
@pytest.mark.parametrize("comes", [True, False], ids=["come", "go"])
def test_a_device_is_shown_or_not(box: Box, mode: str, comes: bool) -> None:
    work, faults = box.work, box.work.faults
    act, back = (box.come, box.go) if comes else (box.go, box.come)

    def once() -> None:
        act()
        box.settles()
        work.rest()

    box.come()  # the first time makes directories
    box.settles()
    if comes:
        box.go()
        box.settles()
    effects = faults.of(box.name, once)
    assert len(effects) >= LEAST, effects
    wanted = effects if ALL or COUNTS else some(effects)
    struck[0] += len(wanted)
    for effect in [] if COUNTS else wanted:
        back()
        box.settles()
        work.rest()
        faults.arm(mode, box.name, effect)
        act()
        eventually(lambda effect=effect: effect in faults.effects(), what=effect)
        if mode == "kill":
            work.daemon.bury()
            faults.disarm()
            work.daemon.start()
        else:
            faults.disarm()
            back()
            box.settles()
            act()
        box.settles()
