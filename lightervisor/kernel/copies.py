"""Copies of directory trees as they are on disk: owners, links, attributes, devices and holes. Source: cp(1), rsync(1).

The bytes stay in the kernel: cp shares extents where the file system can, and copies by copy_file_range(2) elsewhere.
"""

import errno
import os
import select
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lightervisor.errors import Failure, HostError
from lightervisor.kernel import process

_EVERY_MS = 250
SYNCHRONISE = ("rsync", "-aHAXS", "--numeric-ids", "--delete", "--modify-window=-1")


class Watch:
    """Who waits for copies: is told how many bytes were written so far, and may end them.

    `cancel` may be called from any thread, at any time; what copies raises Failure then.
    """

    def __init__(self, told: Callable[[int], None] | None = None) -> None:
        self.told, self._before = told, 0
        self._guard = threading.Lock()
        self._child: process.Child | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Kill what copies now, and let nothing more begin."""
        with self._guard:
            self._is_cancelled = True
            if self._child is not None:
                self._child.kill()

    def check(self) -> None:
        """Raise Failure when it was cancelled: for long work between copies."""
        if self._is_cancelled:
            raise Failure("copy", cause="was cancelled")

    def run(self, argv: Sequence[process.Argument]) -> bool:
        """Run a program that copies, to its end; whether it had any output. Raises HostError quoting it."""
        with _unnamed() as said, _unnamed() as output:
            with self.minding(argv, stdout=output.fileno(), stderr=said.fileno()) as child:
                self._follow(child)
            self.check()
            if child.returncode:
                said.seek(0)
                cause = process.last_words(said.read(), child.returncode)
                raise HostError("program", str(argv[0]), cause=cause)
            return output.seek(0, os.SEEK_END) > 0

    def pour(
        self, argv: Sequence[process.Argument], *, source: int = process.NOTHING, to: int = process.NOTHING
    ) -> None:
        """Run a program that reads and writes these descriptors, to its end. Raises HostError quoting it."""
        with _unnamed() as said:
            with self.minding(argv, stdin=source, stdout=to, stderr=said.fileno()) as child:
                self._follow(child)
            self.check()
            if child.returncode:
                said.seek(0)
                raise HostError("program", str(argv[0]), cause=process.last_words(said.read(), child.returncode))

    @contextmanager
    def minding(
        self,
        argv: Sequence[process.Argument],
        *,
        stdin: int = process.NOTHING,
        stdout: int = process.NOTHING,
        stderr: int = process.NOTHING,
    ) -> Generator[process.Child, None, None]:
        """A program that copies, killed when this is cancelled and at the end. Raises HostError when it is missing."""
        with self._guard:
            self.check()
            child = self._child = process.spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            yield child
        finally:
            with self._guard:
                self._child = None
            child.kill()
            child.wait()

    def _follow(self, child: process.Child) -> None:
        written, ended, poll = 0, os.pidfd_open(child.pid), select.poll()
        poll.register(ended, select.POLLIN)
        try:
            while not poll.poll(_EVERY_MS):
                written = max(written, _written_by(child.pid))
                if self.told is not None and written:
                    self.told(self._before + written)
        finally:
            os.close(ended)
        child.wait()
        self._before += written


def copy_tree(source: Path, target: Path, watch: Watch | None = None) -> None:
    """Copy a directory to a name that is free; extents are shared where the file system can. Raises HostError."""
    argv = ["cp", "-a", "--reflink=auto", "--no-target-directory", "--", source, target]
    if watch is None:
        process.run(argv)
    else:
        watch.run(argv)


def move_tree(source: Path, target: Path) -> None:
    """Move a directory to a name that is free, also into another subvolume, where it is copied: extents are shared.

    What is left of the source then is the caller's to remove. Raises OSError, HostError.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_tree(source, target)


def copy_into(source: Path, target: Path, watch: Watch | None = None) -> None:
    """Copy what is in a directory, and what it is itself like, into one that is empty. Raises HostError."""
    (watch or Watch()).run(["cp", "-a", "--reflink=auto", "--no-target-directory", "--", f"{source}/.", target])


def synchronise(
    source: Path, target: Path, watch: Watch | None = None, *, twin: Path | None = None, by_content: bool = False
) -> None:
    """Make a directory what another is, writing what differs only; both are at rest. Source: rsync(1).

    With `twin` the target is empty, and files that are the same there become links to those. Files of the same size
    and date, to the nanosecond, are taken for the same, unless they are compared `by_content`. Raises HostError.
    """
    argv: list[process.Argument] = [*SYNCHRONISE, *(["--checksum"] if by_content else [])]
    if twin is not None:
        argv.append(f"--link-dest={twin}")
    (watch or Watch()).run([*argv, "--", f"{source}/", f"{target}/"])


def differ(source: Path, target: Path, watch: Watch | None = None) -> bool:
    """Whether `synchronise` would write anything. Raises HostError."""
    return (watch or Watch()).run([*SYNCHRONISE, "--dry-run", "--itemize-changes", "--", f"{source}/", f"{target}/"])


def _unnamed() -> IO[bytes]:
    """A file in memory."""
    return os.fdopen(os.memfd_create("said", os.MFD_CLOEXEC), "w+b")


def _written_by(pid: int) -> int:
    """Bytes that a program has written so far, 0 when that cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar:")), 0)
