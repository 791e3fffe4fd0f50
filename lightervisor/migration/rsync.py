"""The two rsyncs of a migration: each runs confined and sees one tree, and speaks with the other through a websocket.

LXD's source runs rsync as a client that reaches the other side by a program (`-e`). Ours is a small one that hands the
two descriptors, by which rsync speaks to it, to the daemon and waits: bytes go from rsync to the websocket without a
detour. The target runs `rsync --server` with options of its own; the peer has no say in either command line. Source:
rsync(1), LXD's rsync options, compared with LXD 5.0.2.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from lightervisor.config import sizes
from lightervisor.config.types import is_true
from lightervisor.errors import Failure, HostError, Unavailable
from lightervisor.images.sandbox import confined
from lightervisor.kernel import pidfd, process
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.migration.frames import RsyncFeatures

OLD = RsyncFeatures(xattrs=True, delete=True, compress=True)
"""What a peer can do that does not say `bidirectional`: LXD before 3.8."""
SOURCE, TARGET = "/tree", "/target"
TWINS = ("/twin", "/other")
"""What is the same below one of these is copied from there, the first before the other."""
_START_S, _LEAVE_S = 10, 10
_COMMON = ("--devices", "--numeric-ids", "--partial", "--sparse")
# Attributes of the namespace trusted are orders to overlayfs of the host that wrote them.
_ATTRIBUTES = ("--xattrs", "--filter=-x security.selinux")
_NOT_TAKEN = "--filter=-x trusted.*"
_HAND_OVER = (
    "import socket;s=socket.socket(fileno={});socket.send_fds(s,[bytes(1)],[0,1]);s.recv(1)"  # without double quotes
)
_VANISHED = 24
_NO_SPACE = ("No space left on device", "Disk quota exceeded")


def _options(features: RsyncFeatures) -> list[str]:
    words: list[str] = []
    if features.xattrs:
        words += _ATTRIBUTES
    if features.delete:
        words.append("--delete")
    if features.compress:
        words += ["--compress", "--compress-level=2"]
    return words


def offered(config: Mapping[str, str], *, is_far: bool = True) -> RsyncFeatures:
    """What we can do, by the configuration of the pool. On one host compression takes longer than it saves."""
    is_compressed = is_far and is_true(config.get("rsync.compression", "true"))
    return RsyncFeatures(xattrs=True, delete=True, compress=is_compressed, bidirectional=True)


def limit_of(config: Mapping[str, str]) -> str:
    """A pool's most bytes per second in rsync's terms (KiB), "" without one. Source: LXD, rsync.bwlimit."""
    limit = sizes.parse(config.get("rsync.bwlimit") or "0")
    return str(max(1, limit >> 10)) if limit else ""


def source_words(features: RsyncFeatures, handed: int, *, limit: str = "") -> list[str]:
    """The source's command line; `handed` is the socket that gets the descriptors, `limit` is `limit_of` its pool."""
    reach = f'{Path(sys.executable).resolve()} -IS -c "{_HAND_OVER.format(handed)}"'
    slow = ["--bwlimit", limit] if limit else []
    return ["rsync", "-ar", *_COMMON, *slow, *_options(features), f"{SOURCE}/", "localhost:/tmp/foo", "-e", reach]


def target_words(features: RsyncFeatures, *, twins: int = 0) -> list[str]:
    """The target's command line, with so many of `TWINS`."""
    extra = [_NOT_TAKEN] if features.xattrs else []
    extra += [f"--copy-dest={twin}/" for twin in TWINS[:twins]]
    return [
        "rsync", "--server", "-vlogDtpre.iLsfx", *_COMMON, "--modify-window=-1", *_options(features), *extra,
        ".", f"{TARGET}/",
    ]  # fmt: skip


class Rsync:
    """One that runs: `output` is what it says, `input` what it is told; who closes them is who pumps."""

    def __init__(self, child: process.Child, complaints: "_Complaints", handed: socket.socket | None) -> None:
        self._child, self._complaints, self._handed = child, complaints, handed
        self.output = self.input = -1

    def heard_all(self) -> None:
        """The other side has said all that it will: the program that waits for that ends."""
        if self._handed is not None:
            self._handed.close()

    async def finish(self, *, may_vanish: bool = False) -> None:
        """Wait for its end. Raises HostError with its last words.

        With `may_vanish` it is no failure that files of a running instance go while they are read.
        """
        descriptor = os.pidfd_open(self._child.pid)
        try:
            await pidfd.ended(descriptor)
        finally:
            os.close(descriptor)
        status = self._child.wait()
        if status == 0 or (may_vanish and status == _VANISHED):
            return
        raise self._failure(status)

    def _failure(self, status: int) -> Failure:
        text = self._complaints.all()
        if any(words.encode() in text for words in _NO_SPACE):
            remedy = "free some space there, or choose another pool with --storage"
            return HostError("migration", text="No space left in the storage pool", remedy=remedy)
        # rsync says first what was wrong, then where in its source it noticed.
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(b"rsync error:")]
        return HostError("program", "rsync", cause=process.last_words(b"\n".join(lines) or text, status))

    async def leave(self) -> None:
        """Let it notice that nobody speaks with it any more: it gives a file that came in part its name (--partial)."""
        with suppress(OSError, TimeoutError):
            descriptor = os.pidfd_open(self._child.pid)
            try:
                async with asyncio.timeout(_LEAVE_S):
                    await pidfd.ended(descriptor)
            finally:
                os.close(descriptor)

    async def end(self) -> None:
        """Kill it unless it has ended, and take it off the system."""
        self._child.kill()
        self.heard_all()
        await in_thread(self._child.wait)
        self._complaints.close()


class _Complaints:
    """The end of what a program says on its standard error; the rest is dropped, a peer may have it say anything."""

    _KEPT = 8192

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._text = descriptor, bytearray()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> bool:
        """Take what is there; false at the end, or when nothing is."""
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not piece:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return False
        self._text += piece
        del self._text[: -self._KEPT]
        return True

    def all(self) -> bytes:
        """The end of it, after the program's own."""
        while self._read():
            continue
        return bytes(self._text)

    def close(self) -> None:
        """Read no more."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


@asynccontextmanager
async def sending(tree: Mapping[Path, str], features: RsyncFeatures, *, limit: str = "") -> AsyncGenerator[Rsync, None]:
    """Run the source's rsync on what `tree` puts below SOURCE, for reading. Raises HostError."""
    handed, theirs = socket.socketpair()
    with theirs:
        words = source_words(features, theirs.fileno(), limit=limit)
        shown = {**_interpreter(), **tree}
        rsync = await _started(confined(words, tree=shown), handed, pass_fds=(theirs.fileno(),))
    try:
        rsync.output, rsync.input = await _received(handed, rsync)
        yield rsync
    finally:
        await finished(rsync.end())


@asynccontextmanager
async def receiving(
    writable: Mapping[Path, str], features: RsyncFeatures, twins: Mapping[Path, str]
) -> AsyncGenerator[Rsync, None]:
    """Run the target's rsync on what `writable` puts at and below TARGET, `twins` below TWINS. Raises HostError."""
    words = target_words(features, twins=len(twins))
    argv = confined(words, writable=writable, tree=twins)
    rsync = await _started(argv, None, stdin=process.PIPE, stdout=process.PIPE)
    try:
        yield rsync
    except Unavailable:
        await finished(rsync.leave())
        raise
    finally:
        await finished(rsync.end())


def _interpreter() -> dict[Path, str]:
    """Where the program is that hands over, unless it is with the host's."""
    prefix = Path(sys.base_prefix).resolve()
    return {} if prefix.is_relative_to("/usr") else {prefix: str(prefix)}


async def _started(
    argv: Sequence[str | Path],
    handed: socket.socket | None,
    *,
    stdin: int = process.NOTHING,
    stdout: int = process.NOTHING,
    pass_fds: Sequence[int] = (),
) -> Rsync:
    started: list[Rsync] = []

    async def start() -> None:
        child = await asyncio.to_thread(
            process.spawn, argv, stdin=stdin, stdout=stdout, stderr=process.PIPE, pass_fds=pass_fds
        )
        rsync = Rsync(child, _Complaints(_own(child.stderr)), handed)
        started.append(rsync)
        if stdin == process.PIPE:
            rsync.input, rsync.output = _own(child.stdin), _own(child.stdout)

    try:
        await finished(start())
    except BaseException:
        for rsync in started:
            await rsync.end()
        raise
    return started[0]


def _own(stream: IO[bytes] | None) -> int:
    """A descriptor of ours in the place of the one that the program was started with."""
    if stream is None:
        raise RuntimeError("the program was started without a pipe")
    with stream:
        return os.dup(stream.fileno())


async def _received(handed: socket.socket, rsync: Rsync) -> tuple[int, int]:
    """The descriptors that the program hands over: what rsync says, and what it is told."""
    handed.setblocking(False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handed, ready.set)
    try:
        async with asyncio.timeout(_START_S):
            await ready.wait()
        _, descriptors, _, _ = socket.recv_fds(handed, 1, 2)
    except TimeoutError as error:
        raise HostError("program", "rsync", cause=f"it did not start within {_START_S} s") from error
    finally:
        loop.remove_reader(handed)
    if len(descriptors) != 2:
        for descriptor in descriptors:
            os.close(descriptor)
        await rsync.finish()
        raise HostError("program", "rsync", cause="it ended before it began")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors[0], descriptors[1]
