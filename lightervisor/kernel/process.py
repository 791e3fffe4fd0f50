"""Programs of the host: the only place that starts one.

Argument lists only, never a shell. Output is captured so that a failure quotes what the tool said.
Plain blocking functions: a service calls them on a worker thread (`asyncio.to_thread`).
"""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import syscalls, unwritable

Argument = str | bytes | os.PathLike[str]
PIPE, NOTHING = subprocess.PIPE, subprocess.DEVNULL
Expired = subprocess.TimeoutExpired
log = logging.getLogger(__name__)
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Child(subprocess.Popen[bytes]):
    """A program that runs. One that leads a group is killed with all in it.

    bwrap is two processes, of which the inner one waits for ever when the outer one goes before it has let it begin.
    """

    leads_group = False

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if not self.leads_group:
            super().kill()
        elif self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
) -> bytes:
    """Run a program to its end and return its standard output.

    Raises HostError quoting the last line of its standard error when it fails, is missing or takes longer
    than `timeout_s`; the program is killed in that case.
    """
    name = os.fsdecode(argv[0])
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            env={**ENVIRONMENT, **(env or {})},
            cwd=cwd,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError("program", name, cause="is not installed", remedy=f"install the package of {name}") from error
    except subprocess.TimeoutExpired as error:
        raise HostError("program", name, cause=f"did not end within {timeout_s} s") from error
    if done.returncode != 0:
        raise HostError("program", name, cause=last_words(done.stderr, done.returncode))
    return done.stdout


def last_words(stderr: bytes, status: int) -> str:
    """What a failed program said last, or how it ended if it said nothing."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    if lines:
        return lines[-1] if len(lines[-1]) <= 500 else f"{lines[-1][:200]}…{lines[-1][-300:]}"
    return f"ended by signal {-status}" if status < 0 else f"ended with status {status} and no message"


def spawn(
    argv: Sequence[Argument],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | None = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    new_session: bool = False,
    leads_group: bool = True,
) -> Child:
    """Start a program and return at once; the caller waits for it. Raises HostError when it is missing.

    It leads a group of processes unless it is told not to, or gets a session of its own.
    """
    leads_group = leads_group and not new_session
    try:
        child = Child(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**ENVIRONMENT, **(env or {})},
            pass_fds=pass_fds,
            start_new_session=new_session,
            process_group=0 if leads_group else None,
        )
    except FileNotFoundError as error:
        name = os.fsdecode(argv[0])
        raise HostError("program", name, cause="is not installed", remedy=f"install the package of {name}") from error
    child.leads_group = leads_group
    return child


def spawn_for_guests(argv: Sequence[Argument], *, pass_fds: Sequence[int], new_session: bool = False) -> Child:
    """Start a program that enters guests, who must not get at it: it runs from where nobody can write.

    It gets two more words, for `unwritable.settle` when it has loaded everything, and shares the standard error. Where
    the kernel refuses, it is started as any other, and the log says so. Raises as `spawn`.
    """
    home = unwritable.home()
    started: list[Child] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            _close_mounts()
        except OSError as error:
            log.warning("what enters containers is not protected from the root of a privileged one: %s", error)
        try:
            words, descriptors = [*argv, *(str(one) for one in home)], [*pass_fds, *home]
            started.append(spawn(words, stderr=None, pass_fds=descriptors, new_session=new_session, leads_group=False))
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, which raises it
            failures.append(error)

    thread = threading.Thread(target=work, name="unwritable")  # its mounts are its own, and end with it
    thread.start()
    thread.join()
    for descriptor in home:
        os.close(descriptor)
    if failures:
        raise failures[0]
    return started[0]


def _close_mounts() -> None:
    """Move the calling thread to a copy of all mounts that is read-only; it ends there. Raises OSError."""
    syscalls.unshare_mounts()
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.mount_setattr(root, set=syscalls.MOUNT_ATTR_RDONLY, recursive=True)
    finally:
        os.close(root)
