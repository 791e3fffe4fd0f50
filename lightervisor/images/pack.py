"""Trees packed into the file of an image or backup: tar's output, compressed by a native program, in constant memory.

The archive depends on the tree alone: names in order, no dates but those of the files, the same bytes each time. Both
programs run confined: tar sees the tree, read-only, and the one that compresses sees its output file.

An archive of several parts has a tar for each, so that no part has links into another: trees of a pool may share files,
of which who unpacks one part alone has nothing. Source: tar(1), splice(2), LXD's unified images.
"""

import contextlib
import fcntl
import os
import secrets
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
_TAIL = 64 << 10
"""More bytes than tar writes after the last file: it fills up a record of 10 KiB."""
_UNIT = 512
Parts = Sequence[Mapping[str, Path]]
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

    def write(self, parts: Parts, target: Path, algorithm: str) -> None:
        """Write an archive of files and directories, by their names in it and in this order, to a new file.

        A name below another's of the same part lies over what that one has there. Raises HostError quoting the program
        that failed, or when there is no space, Failure when it was cancelled; the caller removes what is there then.
        Blocking.
        """
        with self._explained(), ExitStack() as stack:
            file = stack.enter_context(target.open("xb", buffering=0)).fileno()
            self._write(parts, _Sink(file, target, target.parent), algorithm, stack)

    def stream(self, parts: Parts, pipe: int, algorithm: str, scratch: Path) -> None:
        """As `write`, into a pipe, which stays open; `scratch` is a directory for what programs complain of.

        Raises Unsupported for a format that cannot be written so.
        """
        if format_named(algorithm).NEEDS_FILE:
            remedy = "choose another, or have the server keep the file"
            raise Unsupported(self._kind, cause=f"{algorithm} cannot be made while it is sent", remedy=remedy)
        with self._explained(), ExitStack() as stack:
            self._write(parts, _Sink(pipe, None, scratch), algorithm, stack)

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

    def _write(self, parts: Parts, sink: "_Sink", algorithm: str, stack: ExitStack) -> None:
        kind = format_named(algorithm)
        words = kind.packer(algorithm.partition(" ")[2])
        packer = self._start(words, stack, sink, shown=kind.packer_sees()) if words else None
        to = packer.input if packer else sink.to
        for part in parts:
            with ExitStack() as ends:
                try:
                    self._add(part, to, sink, ends, is_last=part is parts[-1])
                except BrokenPipeError as error:
                    if packer is None:
                        raise Failure(self._kind, cause="nobody takes it any more") from error
                    packer.finish()  # it is the one that compresses that has failed
                    raise
        if packer is not None:
            packer.finish()

    def _add(self, part: Mapping[str, Path], to: int, sink: "_Sink", ends: ExitStack, *, is_last: bool) -> None:
        """Pack one part; what tar writes after its last file is left away unless the whole archive ends there."""
        top = [name for name in part if not any(parent in part for parent in _parents(name))]
        tree = {path: f"{_PLACE}/{name}" for name, path in part.items()}
        pour = _Pour(self._told, sink.to if sink.file else None)
        if is_last:
            tar = self._start([*CREATE, "--", *top], ends, sink, tree=tree)
            pour.all(tar.output, to)
        else:
            mark = ends.enter_context(_mark(sink.scratch))
            tar = self._start(
                [*CREATE, "--", *top, mark.name], ends, sink, tree={**tree, mark: f"{_PLACE}/{mark.name}"}
            )
            pour.until(os.fsencode(mark.name), tar.output, to)
        tar.finish()

    def _start(
        self,
        words: Sequence[str],
        stack: ExitStack,
        sink: "_Sink",
        *,
        tree: Mapping[Path, str] | None = None,
        shown: Mapping[Path, str] | None = None,
    ) -> "_Program":
        """Begin a part of the pipeline: tar, which has a tree, or what compresses its output into the sink."""
        said = stack.enter_context(tempfile.TemporaryFile(dir=sink.scratch))  # noqa: SIM115 - the stack closes it
        with self._guard:
            if self._is_cancelled:
                raise self._cancelled()
            source, to = (process.NOTHING, process.PIPE) if tree else (process.PIPE, sink.to)
            argv = confined(words, tree=tree, output=None if tree else sink.file, shown=shown)
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


class _Pour:
    """Moves bytes from tar on; the file system of `file` must not become full."""

    def __init__(self, told: _Told, file: int | None) -> None:
        self._told, self._file, self._looked = told, file, 0.0

    def all(self, source: int, sink: int) -> None:
        """All of them, inside the kernel."""
        _widen(source, sink)
        while count := os.splice(source, sink, BLOCK):
            self._moved(count)
        self._told.tell()

    def until(self, mark: bytes, source: int, sink: int) -> None:
        """Those before the last file, whose name is a mark. Nothing more is moved when tar has failed before it."""
        _widen(source, sink)
        held = b""
        while block := os.read(source, BLOCK):
            held += block
            if len(held) > _TAIL:
                self._move(memoryview(held)[:-_TAIL], sink)
                held = held[-_TAIL:]
        if (found := held.find(mark)) >= 0:
            self._move(memoryview(held)[: found - found % _UNIT], sink)
        self._told.tell()

    def _move(self, piece: memoryview, sink: int) -> None:
        while piece:
            count = os.write(sink, piece)
            piece = piece[count:]
            self._moved(count)

    def _moved(self, count: int) -> None:
        self._told.bytes += count
        if time.monotonic() - self._looked >= _EVERY_S:
            self._looked = time.monotonic()
            if self._file is not None:
                check_space(self._file)
            self._told.tell()


@contextlib.contextmanager
def _mark(scratch: Path) -> Generator[Path, None, None]:
    """An empty file by whose name, that nothing else has, the end of a part is known."""
    mark = scratch / f".end-{secrets.token_hex(16)}"
    mark.touch(0o600, exist_ok=False)
    try:
        yield mark
    finally:
        mark.unlink()


def _widen(*pipes: int) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, BLOCK)


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def _descriptor(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise RuntimeError("the program was started without a pipe")
    return stream.fileno()
