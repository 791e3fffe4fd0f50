"""Trees packed into the file of an image or backup: tar's output, compressed by a native program, in constant memory.

The archive depends on the tree alone: names in order, no dates but those of the files, the same bytes each time. Both
programs run confined: tar sees the tree, read-only, and the one that compresses sees its output file. Source: tar(1),
splice(2), LXD's unified images.
"""

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from lightervisor.errors import Failure, HostError, Unsupported
from lightervisor.images.formats.format import format_named
from lightervisor.images.meter import Progress
from lightervisor.images.sandbox import confined
from lightervisor.images.upload import check_space, unwritable
from lightervisor.kernel import process

BLOCK = 1 << 20
_EVERY_S = 0.25
_PLACE = "/tree"
CREATE = (
    "tar", "--create", "--file=-", f"--directory={_PLACE}", "--format=posix", "--sort=name", "--numeric-owner",
    "--sparse", "--acls", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.*",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--warning=no-file-ignored",
)  # fmt: skip


class Packing:
    """One archive that is being made; `cancel` may be called from any thread, at any time.

    `kind` and `label` say in messages and in the progress what is made.
    """

    def __init__(self, progress: Progress, *, kind: str = "image", label: str = "Image pack: ") -> None:
        self._told, self._kind = _Told(progress, label), kind
        self._guard = threading.Lock()
        self._programs: list[_Program] = []
        self._is_cancelled = False

    def write(self, members: Mapping[str, Path], target: Path, algorithm: str) -> None:
        """Write an archive of files and directories, by their names in it and in this order, to a new file.

        A name below another's lies over what that one has there. Raises HostError quoting the program that failed, or
        when there is no space, Failure when it was cancelled; the caller removes what is there then. Blocking.
        """
        with self._explained(), ExitStack() as stack:
            file = stack.enter_context(target.open("xb", buffering=0)).fileno()
            self._write(members, _Sink(file, target, target.parent), algorithm, stack)

    def stream(self, members: Mapping[str, Path], pipe: int, algorithm: str, scratch: Path) -> None:
        """As `write`, into a pipe, which stays open; `scratch` is a directory for what programs complain of.

        Raises Unsupported for a format that cannot be written so.
        """
        if format_named(algorithm).NEEDS_FILE:
            remedy = "choose another, or have the server keep the file"
            raise Unsupported(self._kind, cause=f"{algorithm} cannot be made while it is sent", remedy=remedy)
        with self._explained(), ExitStack() as stack:
            self._write(members, _Sink(pipe, None, scratch), algorithm, stack)

    @contextlib.contextmanager
    def _explained(self) -> Generator[None, None, None]:
        try:
            yield
        except (Failure, OSError) as error:
            if self._is_cancelled:
                raise self._cancelled() from error
            if isinstance(error, OSError):
                raise unwritable(error.strerror or str(error)) from error
            raise

    def cancel(self) -> None:
        """Kill what runs; what writes raises."""
        with self._guard:
            self._is_cancelled = True
            for program in self._programs:
                program.kill()

    def _write(self, members: Mapping[str, Path], sink: "_Sink", algorithm: str, stack: ExitStack) -> None:
        words = format_named(algorithm).packer(algorithm.partition(" ")[2])
        top = [name for name in members if not any(parent in members for parent in _parents(name))]
        tree = {path: f"{_PLACE}/{name}" for name, path in members.items()}
        tar = self._start([*CREATE, "--", *top], stack, sink, tree=tree)
        programs = [tar]
        if words:
            programs.append(self._start(words, stack, sink))
        try:
            _pour(tar.output, programs[1].input if words else sink.to, self._told, sink.to if sink.file else None)
        except BrokenPipeError as error:
            if not words:
                raise Failure(self._kind, cause="nobody takes it any more") from error
            programs.reverse()  # it is the one that compresses that has failed
        for program in programs:
            program.finish()

    def _start(
        self,
        words: Sequence[str],
        stack: ExitStack,
        sink: "_Sink",
        *,
        tree: Mapping[Path, str] | None = None,
    ) -> "_Program":
        """Begin a part of the pipeline: tar, which has a tree, or what compresses its output into the sink."""
        said = stack.enter_context(tempfile.TemporaryFile(dir=sink.scratch))  # noqa: SIM115 - the stack closes it
        with self._guard:
            if self._is_cancelled:
                raise self._cancelled()
            source, to = (process.NOTHING, process.PIPE) if tree else (process.PIPE, sink.to)
            argv = confined(words, tree=tree, output=None if tree else sink.file)
            child = process.spawn(argv, stdin=source, stdout=to, stderr=said.fileno())
            program = _Program(words[0], child, said)
            self._programs.append(program)
        stack.callback(program.end)
        return program

    def _cancelled(self) -> Failure:
        return Failure(self._kind, cause="packing was cancelled")


class _Sink(NamedTuple):
    """Where the archive goes: a descriptor, and its path when it is a file; `scratch` is for temporary files."""

    to: int
    file: Path | None
    scratch: Path


class _Program:
    """One end of the pipeline, and what it complains of."""

    def __init__(self, name: str, child: process.Child, said: IO[bytes]) -> None:
        self._name, self._child, self._said = name, child, said

    @property
    def input(self) -> int:
        """Where what it reads is to be written."""
        return _descriptor(self._child.stdin)

    @property
    def output(self) -> int:
        """Where what it writes is to be read."""
        return _descriptor(self._child.stdout)

    def finish(self) -> None:
        """Wait for its end. Raises HostError with its last words when it has failed."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        if (status := self._child.wait()) == 0:
            return
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 4096))
        cause = process.last_words(self._said.read(), status)
        if "No space left" in cause or "Disk quota exceeded" in cause:
            raise unwritable(cause)
        raise HostError("program", self._name, cause=cause)

    def kill(self) -> None:
        """Let it end now."""
        self._child.kill()

    def end(self) -> None:
        """Kill it unless it has ended, and take it off the system."""
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._child.wait()


class _Told:
    """How far it is, as LXD says it when the end is not known."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress, self._label = progress, label
        self._begun, self.bytes = time.monotonic(), 0

    def tell(self) -> None:
        """Say it."""
        speed = self.bytes / max(time.monotonic() - self._begun, 0.001)
        self._progress(f"{self._label}{self.bytes / 1e6:.2f}MB ({speed / 1e6:.2f}MB/s)")


def _pour(source: int, sink: int, told: _Told, file: int | None) -> None:
    """Move all bytes inside the kernel; the file system of `file` must not become full."""
    for pipe in (source, sink):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, BLOCK)
    looked = 0.0
    while count := os.splice(source, sink, BLOCK):
        told.bytes += count
        if time.monotonic() - looked >= _EVERY_S:
            looked = time.monotonic()
            if file is not None:
                check_space(file)
            told.tell()
    told.tell()


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def _descriptor(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise RuntimeError("the program was started without a pipe")
    return stream.fileno()
