"""The daemon, run so that anything it does to the world can be made to fail, to be its last, or to be cancelled.

An effect is what outlives the process or reaches another one: a change of a file, a mount, a program started, a message
to the spawner or the kernel, a transaction. Nothing in the daemon knows of this: Python's audit hook sees most effects
(PEP 578), and the few doors to the kernel that have no audit event are wrapped here. So a new step in the daemon is a
new effect here, without anybody writing it down.

The plan is a file that the tester and this process map; see `faults.py` for the tester's side.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness import nursery

PLAN_ENV, SIZE = "LV_TEST_PLAN", 4096
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
ONE_PATH = {"os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.truncate", "os.setxattr", "os.mkfifo"}
TWO_PATHS = {"os.rename", "os.link", "os.symlink"}
CHANGING = {"open_tree": "", "mount_setattr": "", "move_mount": "target", "fsconfig_create": "", "fsmount": "",
            "mount": "target", "umount2": "target", "exchange": ""}  # fmt: skip
BTRFS_ORDERS = {15: "destroy", 23: "snapshot", 24: "create", 26: "set flags", 42: "qgroup"}
LONGEST_S = 20
BENEATH = " beneath a tree"  # one of many stands for all: their order is the file system's


class Injected(OSError):
    """The failure: what the kernel says of a broken disk."""

    def __init__(self) -> None:
        super().__init__(5, "Injected fault")


class Hook:
    """Names each effect and does what the plan says about it."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None
        self._trace, self._state = -1, ""
        self._busy = threading.local()
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._known = b""
        self.mode, self._wanted, self._name = "off", "", ""
        self.operations: Any = None
        self.spawner: Any = None

    def open(self, plan: Path) -> None:
        """From now on do what this plan says."""
        self._trace = os.open(plan.with_suffix(".trace"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._state = os.environ["LXD_DIR"]
        with plan.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)

    def effect(self, what: str, *details: object) -> None:
        """Something is about to happen."""
        if self._map is None or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._read_plan(self._map[:])
            if self.mode != "off":
                self._meet(self._label(what, details))
        finally:
            self._busy.now = False

    def _read_plan(self, current: bytes) -> None:
        if current != self._known:
            with self._lock:
                self._known = current
                self._seen.clear()
                # A serial number is the first line, so that the same plan twice is a new one.
                _, self.mode, self._name, self._wanted, *_ = current.rstrip(b"\0").decode().split("\n")

    def _label(self, what: str, details: tuple[object, ...]) -> str:
        words = [os.fsdecode(one) if isinstance(one, bytes) else str(one) for one in details]
        text = " ".join([what, *(self._plain(word) for word in words)])
        if what.endswith(BENEATH):
            return text
        with self._lock:
            self._seen[text] += 1
            return f"{text} #{self._seen[text]}"

    def _plain(self, text: str) -> str:
        text = text.replace(self._state, "$LXD_DIR")
        if self._name:
            text = re.sub(rf"{re.escape(self._name)}(?![\w-])", "NAME", text)
        text = re.sub(r"/[0-9a-f]{64}", "/IMAGE", text)
        text = re.sub(r"/\.incoming/(\.end-)?[0-9a-f]{32}", r"/.incoming/\1FILE", text)
        return re.sub(
            r"(?<=trash/)[^/]+|(?<=layers/)[0-9a-f]{16}|(?<=backups/instances/)[^/ ]+|(?<=moment )[0-9a-f-]{8,36}"
            r"|(?<=backups/custom/)[0-9a-f]{32}"
            r"|(?<=arriving )[0-9a-f]{8}|(?<=/proc/)\d+|(?<=veth)[0-9a-f]{8}|(?<=lvt)[0-9a-f]{6}",
            "*",
            text,
        )

    def _meet(self, label: str) -> None:
        os.write(self._trace, f"{label}\n".encode())
        if label != self._wanted or self.mode == "record":
            return
        mode, self.mode = self.mode, "off"  # what follows is the undo, not the work
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif mode == "fail":
            raise Injected
        elif mode == "cancel":
            self._cancel()
        elif mode == "spawner":
            os.kill(self.spawner.pid, signal.SIGKILL)
        elif mode == "hold":
            self._hold()

    def _hold(self) -> None:
        """Wait until there is another plan."""
        limit = time.monotonic() + LONGEST_S
        while self._map is not None and self._map[:] == self._known and time.monotonic() < limit:
            time.sleep(0.005)

    def _cancel(self) -> None:
        """What DELETE /1.0/operations/<id> does, in the middle of the effect when that is on another thread."""
        done = threading.Event()

        def cancel() -> None:
            self._busy.now = True
            for operation in self.operations.list(None):
                if operation.may_cancel:
                    self.operations.cancel(operation.id)
            self._busy.now = False
            done.set()

        if threading.current_thread() is threading.main_thread():
            cancel()
        else:
            asyncio_loop.call_soon_threadsafe(cancel)
            done.wait(5)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITING and _matters(path):
                self.effect("write", path)
        elif event in ONE_PATH:
            self._path_effect(event, arguments)
        elif event in TWO_PATHS:
            is_descriptor = os.fsdecode(arguments[0]).isdecimal()  # relative to /proc/self/fd
            self.effect(event, "DESCRIPTOR" if is_descriptor else arguments[0], arguments[1])
        elif event == "subprocess.Popen":
            self.effect("run", *list(arguments[1])[:2])

    def _path_effect(self, event: str, arguments: tuple[Any, ...]) -> None:
        # With a directory's descriptor: beneath a tree, where one of many stands for all.
        beneath = isinstance(arguments[-1], int) and arguments[-1] >= 0 and event in {"os.remove", "os.rmdir"}
        if beneath:
            self.effect(event + BENEATH)
        elif isinstance(arguments[0], str | bytes) and _matters(arguments[0]):
            self.effect(event, arguments[0])


asyncio_loop: Any = None


def _matters(path: str | bytes) -> bool:
    return not os.fsdecode(path).startswith(("/dev/null", "/proc/self"))


def _before(target: object, name: str, tell: Callable[..., None]) -> None:
    original = getattr(target, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        tell(*arguments, **options)
        return original(*arguments, **options)

    setattr(target, name, wrapped)


def install(hook: Hook) -> None:
    """Wrap the doors that have no audit event."""
    from lightervisor.db.database import Database
    from lightervisor.kernel import btrfs, pidfd, syscalls
    from lightervisor.kernel.netlink import Netlink
    from lightervisor.operations.operations import Operations
    from lightervisor.runtime import spawner

    for name in CHANGING:
        _before(syscalls, name, lambda *_a, name=name, **_k: hook.effect(name))
    _before(btrfs, "_call", lambda _d, number, _c: hook.effect("btrfs", BTRFS_ORDERS.get(number & 0xFF, number)))
    _before(Netlink, "_change", lambda _self, kind, _flags, _body, target, *_a: hook.effect("netlink", kind, target))
    _before(pidfd, "send", lambda _pidfd, number: hook.effect("signal", number))
    _before(
        spawner.Spawner,
        "_send",
        lambda _self, operation, *_a: operation == "state" or hook.effect("spawner", operation),
    )

    def transaction(_self: object, change: Callable[..., Any]) -> None:
        try:
            hook.effect("transaction", change.__qualname__)
        except Injected as error:
            raise sqlite3.OperationalError("disk I/O error (injected fault)") from error

    _before(Database, "_transact", transaction)

    def remember(operations: Any, *_a: Any) -> None:
        global asyncio_loop
        hook.operations, asyncio_loop = operations, asyncio.get_running_loop()

    _before(Operations, "__init__", remember)
    start = spawner._start

    def start_spawner(open_files: int) -> Any:
        channel, hook.spawner = start(open_files)
        return channel, hook.spawner

    spawner._start = start_spawner
    sys.addaudithook(hook.audit)


def main() -> int:
    """The `lxd` program with its own commands (`init`, `shutdown`), which are not watched."""
    from lightervisor.daemon.main import main as lxd

    os.environ.pop(PLAN_ENV, "")
    return lxd()


def nurse(descriptor: int) -> int:
    """Load the daemon with a hook, then fork as many as are asked for, each with the plan of its environment."""
    hook = Hook()
    install(hook)  # first: who imports a function by its name gets the wrapped one
    from lightervisor.daemon import process, wiring
    from lightervisor.daemon.main import main as lxd

    _ = process, wiring
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    env = nursery.serve(control)
    if env is None:
        return 0
    os.environ.clear()
    os.environ.update(env)
    hook.open(Path(os.environ.pop(PLAN_ENV)))  # not for the spawner, which inherits the rest
    return lxd()
