"""What a process hands down to the programs that it starts: ignored and blocked signals, the limit of open files.

Standard library only, for the spawner too. Source: signal(7), execve(2), getrlimit(2).
"""

import resource
import signal
from collections.abc import Collection

MOST_FILES = 65536  # programs that close every descriptor they could have begin to notice more


def reset_signals(*, keep: Collection[int] = ()) -> None:
    """Ignore and block nothing that whoever started this process ignored or blocked, but for what is in `keep`.

    Else a daemon could not be told to stop, learnt no child's status, and every container ignored them too.
    """
    for number in signal.valid_signals() - set(keep):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def open_files() -> int:
    """The soft limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit_open_files(wanted: int = MOST_FILES) -> None:
    """Set the soft limit, as far as the hard one goes; the usual 1024 are used up by some hundred commands at once."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
