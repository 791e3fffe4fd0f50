"""What a daemon that was started in an odd way would hand down."""

import signal
import subprocess
import sys

from tests.harness.processes import signals

SHOW = """
from lightervisor.kernel import inheritance
inheritance.reset_signals(keep=[{keep}])
inheritance.limit_open_files({files})
import resource
print(*[line.split()[1] for line in open("/proc/self/status") if line[:6] in ("SigIgn", "SigBlk")])
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
ODD = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def shown(keep: int, files: int) -> list[str]:
    """The masks of ignored and blocked signals and the limit of files, of a process that was started oddly."""
    program = SHOW.format(keep=keep, files=files)
    return subprocess.run(
        [sys.executable, "-c", ODD, program], capture_output=True, text=True, check=True
    ).stdout.split()


def test_no_signal_is_ignored_or_blocked_but_what_is_to_be() -> None:
    blocked, ignored, _ = shown(signal.SIGHUP, 64)
    assert signals(blocked) == 0
    assert signals(ignored) == 1 << signal.SIGHUP - 1


def test_the_limit_of_files_is_the_wanted_one_or_the_hard_one() -> None:
    assert shown(signal.SIGHUP, 64)[2] == "64"
    assert int(shown(signal.SIGHUP, 1 << 60)[2]) < 1 << 60
