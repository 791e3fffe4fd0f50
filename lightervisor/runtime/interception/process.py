"""The interceptor's process: takes calls from the monitors of containers and answers them. Run as `python -IS`.

It outlives the daemon, as the monitors do, and ends when nobody is connected any more. Each call is worked on in a
child, so none holds up others; a monitor, which can do nothing else while it waits, is let go after a moment and the
answer is then given to the caller from here. Standard library only.
"""

import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightervisor.kernel import inheritance, unwritable
from lightervisor.kernel.native_calls import NATIVE
from lightervisor.runtime import liblxc
from lightervisor.runtime.interception import bpf, mknod, mount, scheduler, setxattr, sysinfo
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome, failed

NUMBERS = {
    "x86_64": {
        133: "mknod", 259: "mknodat", 188: "setxattr", 189: "lsetxattr", 165: "mount", 321: "bpf",
        144: "sched_setscheduler", 99: "sysinfo",
    },
    "aarch64": {
        33: "mknodat", 5: "setxattr", 6: "lsetxattr", 40: "mount", 280: "bpf", 119: "sched_setscheduler",
        179: "sysinfo",
    },
}  # fmt: skip
Handler = Callable[[Call, Mapping[str, Any]], Outcome]
HANDLERS: "dict[str, Handler]" = {}
for _module in (bpf, mknod, mount, scheduler, setxattr, sysinfo):
    HANDLERS.update(_module.CALLS)
WORDS = {"mknodat": "mknod", "lsetxattr": "setxattr"}  # calls that the key of another one is for
MONITOR_WAITS_S, MOST_S = 0.1, 30.0
RESULT = struct.Struct("=qi?")
NO_PERMITS: "dict[str, Any]" = {"calls": [], "mount": [], "fuse": {}, "shift": False}


class Work:
    """A call that a child is working on; `line` is its monitor's while that one waits."""

    def __init__(self, call: Call, line: "socket.socket | None", child: int, began: float) -> None:
        self.call, self.line, self.child, self.began = call, line, child, began

    def end(self, outcome: Outcome) -> None:
        """Give the outcome to the caller, by the monitor or past it."""
        try:
            if self.line is not None:
                self.call.answer(self.line, outcome)
            else:
                self.call.deliver(outcome)
        except OSError:
            self.call.deliver(outcome)
        self.call.close()

    def release(self) -> None:
        """Let the monitor go on with other things."""
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.call.release(self.line)
        self.line = None


class Interceptor:
    """The loop. `permits` is the directory with what each container may have done for it."""

    def __init__(self, listener: socket.socket, permits: str) -> None:
        self._listener, self._permits = listener, permits
        self._lines: dict[int, socket.socket] = {}
        self._works: dict[int, Work] = {}
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._machine = os.uname().machine

    def run(self) -> None:
        """Serve until nobody is connected and nothing is being done."""
        gc.collect()
        gc.freeze()
        was_used = False
        while self._lines or self._works or not was_used:
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                if descriptor == self._listener.fileno():
                    line, _ = self._listener.accept()
                    self._lines[line.fileno()] = line
                    self._poll.register(line, select.POLLIN)
                    was_used = True
                elif descriptor in self._works:
                    self._finish(descriptor)
                elif descriptor in self._lines:
                    self._take(self._lines[descriptor])
            self._hurry()

    def _patience_ms(self) -> int | None:
        now = time.monotonic()
        waits = [w.began + (MONITOR_WAITS_S if w.line is not None else MOST_S) - now for w in self._works.values()]
        return max(int(min(waits) * 1000) + 1, 0) if waits else None

    def _hurry(self) -> None:
        """Let monitors go that have waited a while, and end children that take too long."""
        now = time.monotonic()
        for work in self._works.values():
            if work.line is not None and now - work.began >= MONITOR_WAITS_S:
                work.release()
            if now - work.began >= MOST_S:
                os.kill(work.child, signal.SIGKILL)  # its end is told by the pipe

    def _take(self, line: socket.socket) -> None:
        try:
            call = Call.receive(line)
        except (OSError, ValueError) as error:
            _tell(str(error))
            call = None
        if call is None:
            self._poll.unregister(line)
            del self._lines[line.fileno()]
            for work in self._works.values():
                if work.line is line:
                    work.line = None
            line.close()
            return
        name = self._name(call)
        permits = self._permits_of(call.container)
        handler = HANDLERS.get(name)
        if handler is None or WORDS.get(name, name) not in permits["calls"]:
            Work(call, line, 0, 0).end(GOES_ON)
            return
        self._begin(call, line, handler, permits)

    def _name(self, call: Call) -> str:
        if call.architecture != NATIVE.get(self._machine):
            return ""  # other calls, other structures: the kernel decides as ever
        return NUMBERS.get(self._machine, {}).get(call.number, "")

    def _permits_of(self, container: str) -> "dict[str, Any]":
        if not container or "/" in container:
            return NO_PERMITS
        try:
            with open(f"{self._permits}/{container}") as file:  # noqa: PTH123 - pathlib is too large for this
                return {**NO_PERMITS, **json.load(file)}
        except (OSError, ValueError):
            return NO_PERMITS

    def _begin(self, call: Call, line: socket.socket, handler: Handler, permits: Mapping[str, Any]) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            try:
                for one in (self._listener, *self._lines.values()):
                    one.close()
                os.close(ours)
                outcome = outcome_of(handler, call, permits)
                try:
                    os.write(theirs, RESULT.pack(*outcome))
                except BrokenPipeError:
                    call.deliver(outcome)  # the loop was killed meanwhile
            finally:
                os._exit(0)
        os.close(theirs)
        self._works[ours] = Work(call, line, child, time.monotonic())
        self._poll.register(ours, select.POLLIN)

    def _finish(self, descriptor: int) -> None:
        work = self._works.pop(descriptor)
        self._poll.unregister(descriptor)
        result = os.read(descriptor, RESULT.size)
        os.close(descriptor)
        os.waitpid(work.child, 0)
        work.end(Outcome(*RESULT.unpack(result)) if len(result) == RESULT.size else failed(errno.EIO))


def outcome_of(handler: Handler, call: Call, permits: Mapping[str, Any]) -> Outcome:
    """What a handler makes of a call; what the kernel refuses it, the caller is refused."""
    try:
        return handler(call, permits)
    except OSError as error:
        return failed(error.errno or errno.EIO)
    except Exception as error:  # noqa: BLE001  # a mistake of ours is no way past the kernel's own check
        _tell(f"{call.container}: {error!r}")
        return failed(errno.EPERM)


def _tell(what: str) -> None:
    sys.stderr.write(f"interceptor: {what}\n")


def main() -> int:
    """Serve on the listening socket whose descriptor is the first argument.

    The second one is `permits`; two descriptors for `unwritable` follow.
    """
    inheritance.reset_signals()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE):  # a handler ends with exec
        signal.signal(number, lambda _number, _frame: None)
    inheritance.limit_open_files()
    os.umask(0o022)
    with contextlib.suppress(liblxc.Library):  # else a child that enters a container would load it, from elsewhere
        liblxc.load()
    unwritable.settle(int(sys.argv[3]), int(sys.argv[4]))
    Interceptor(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
