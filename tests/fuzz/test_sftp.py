"""SFTP: whatever a client sends is answered or ends its session; whatever a server sends is no internal error here."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st

from lightervisor.client import sftp
from lightervisor.client import sftp_packets as packets
from lightervisor.client.light_http import Wire
from lightervisor.client.sftp import Ask, Session
from lightervisor.client.sftp_packets import Attributes, BadPacket, Fields, string, u32, u64
from lightervisor.errors import Failure
from lightervisor.kernel import whole_file
from lightervisor.sftp import process
from lightervisor.sftp.opened import Opener
from lightervisor.sftp.requests import MOST_HANDLES, Requests
from tests.fuzz.fuzzing import HANGS, fuzz

pytestmark = HANGS
# All names lead into one directory, which each example finds as it was left.
NAMES = st.sampled_from([b"a", b"b", b"d", b"d/x", b"l", b"", b".", b"d/../a", b"\0", b"x" * 300, b"\xff\xfe", b"a/b"])
NUMBERS = st.sampled_from([0, 1, 5, 100, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
OFFSETS = st.sampled_from([0, 1, 4096, 1 << 20, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
HANDLES = st.sampled_from([b"1", b"2", b"3", b"4", b"", b"99", b"\xff"])
ATTRIBUTES = st.builds(
    Attributes,
    size=st.none() | st.sampled_from([0, 1, 5000, 1 << 63, (1 << 64) - 1]),
    uid=st.none() | st.just(0),
    gid=st.none() | st.just(0),
    mode=st.none() | st.sampled_from([0, 0o644, 0o777, 0o100600, 0xFFFFFFFF]),
    seconds=st.none() | st.tuples(NUMBERS, NUMBERS),
).map(Attributes.packed)
FIELD = st.one_of(
    NAMES.map(string), HANDLES.map(string), NUMBERS.map(u32), OFFSETS.map(u64), ATTRIBUTES, st.binary(max_size=20)
)
EXTENSIONS = st.sampled_from([packets.POSIX_RENAME, packets.HARDLINK, packets.STATVFS, packets.FSYNC,
                              packets.WHOLE_FILE, packets.PUT_FILE, "limits@openssh.com",
                              "lsetstat@openssh.com", "x"])  # fmt: skip


def body(kind: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    """The fields that a request of this type should have, or others."""
    name, handle = NAMES.map(string), HANDLES.map(string)
    right = {
        packets.OPEN: st.tuples(name, st.integers(0, 63).map(u32), ATTRIBUTES),
        packets.CLOSE: st.tuples(handle),
        packets.READ: st.tuples(handle, OFFSETS.map(u64), NUMBERS.map(u32)),
        packets.WRITE: st.tuples(handle, OFFSETS.map(u64), st.binary(max_size=50).map(string)),
        packets.SETSTAT: st.tuples(name, ATTRIBUTES),
        packets.FSETSTAT: st.tuples(handle, ATTRIBUTES),
        packets.READDIR: st.tuples(handle),
        packets.MKDIR: st.tuples(name, ATTRIBUTES),
        packets.RENAME: st.tuples(name, name),
        packets.SYMLINK: st.tuples(name, name),
        packets.EXTENDED: st.tuples(EXTENSIONS.map(lambda text: string(text.encode())), FIELD, FIELD),
    }
    return right.get(kind, st.tuples(name)) | st.lists(FIELD, max_size=4).map(tuple)


REQUESTS = st.lists(
    st.integers(0, 21).flatmap(lambda kind: st.tuples(st.just(kind), body(kind)))
    | body(packets.EXTENDED).map(lambda fields: (packets.EXTENDED, fields)),
    max_size=25,
)


@pytest.fixture
def inside() -> Iterator[Path]:
    """A directory of its own, which is where relative paths lead to."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="lv-sftp-", dir="/var/tmp") as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def test_requests(inside: Path) -> None:
    own = whole_file.open_own()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def target(requests: list[tuple[int, tuple[bytes, ...]]]) -> None:
        served = Requests(Opener(own))
        assert served.answer(packets.INIT, u32(3))[4] == packets.VERSION
        for number, (kind, fields) in enumerate(requests):
            answer = served.answer(kind, u32(number) + b"".join(fields))
            size, told_kind, told_number = packets_head(answer)
            assert size + 4 == len(answer) <= packets.LONGEST + 4
            assert told_kind in (101, 102, 103, 104, 105, packets.EXTENDED_REPLY)
            assert told_number == number
        served.end()
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors, "descriptors stay open"
        assert not [one for one in inside.iterdir() if "lightervisor" in one.name]

    try:
        fuzz("sftp-requests", REQUESTS, target)
    finally:
        os.close(own)


def packets_head(answer: bytes) -> tuple[int, int, int]:
    fields = Fields(answer)
    size = fields.u32()
    return size, answer[4], Fields(answer, 5).u32()


def test_bytes_of_a_client(inside: Path) -> None:
    """Any bytes at all: the session answers or ends, and never takes more memory than a packet."""
    own = whole_file.open_own()
    start = packets.greeting(packets.INIT)
    examples = st.tuples(st.sampled_from([b"", start, start[:-1]]), st.lists(st.binary(max_size=60), max_size=6))

    def target(example: tuple[bytes, list[bytes]]) -> None:
        head, rest = example
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=process.serve, args=(theirs, Requests(Opener(own))))
        thread.start()
        with ours:
            with suppress(BrokenPipeError):
                ours.sendall(head + b"".join(rest))
                ours.shutdown(socket.SHUT_WR)
            thread.join(timeout=20)
        assert not thread.is_alive()
        theirs.close()

    try:
        fuzz("sftp-bytes", examples, target)
    finally:
        os.close(own)


def test_answers_of_a_server() -> None:
    """Our client against one that answers nonsense: a refusal, and no traceback."""
    kinds = st.sampled_from([101, 102, 103, 104, 105, 201, 2, 77])
    answers = st.lists(st.tuples(kinds, st.integers(0, 9), st.lists(FIELD, max_size=4).map(b"".join)), max_size=8)

    def target(said: list[tuple[int, int, bytes]]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(packets.greeting(packets.VERSION, {packets.WHOLE_FILE: "1"}))
            theirs.sendall(b"".join(packets.packet(kind, number, rest) for kind, number, rest in said))
            theirs.shutdown(socket.SHUT_WR)
            with suppress(Failure):
                session = Session(Wire(ours, "x", is_local=True))
                session.run_all(iter([_curious() for _ in range(4)]))

    fuzz("sftp-answers", answers, target)


def _curious() -> sftp.Job:
    """What asks for everything and looks at the answers."""
    yield Ask(packets.LSTAT, string(b"/x"))
    (found,) = yield None
    found.fields.attributes()
    yield Ask(packets.READDIR, string(b"1"), lenient=True)
    (listed,) = yield None
    fields = listed.fields
    for _ in range(fields.u32()):
        assert isinstance(fields.bytes() + fields.bytes(), bytes)
        fields.attributes()


def test_attributes_there_and_back() -> None:
    def target(packed: bytes) -> None:
        assert Fields(packed).attributes().packed() == packed

    fuzz("sftp-attributes", ATTRIBUTES, target)


def test_a_session_has_limits(inside: Path) -> None:
    own = whole_file.open_own()
    served = Requests(Opener(own))
    with pytest.raises(BadPacket):
        served.answer(packets.OPEN, u32(1))
    served.answer(packets.INIT, u32(3))
    wanted = string(b"file") + u32(packets.FOR_WRITING | packets.CREATING) + u32(0)
    kinds = {served.answer(packets.OPEN, u32(number) + wanted)[4] for number in range(MOST_HANDLES)}
    assert kinds == {packets.HANDLE}
    refused = served.answer(packets.OPEN, u32(7) + wanted)
    assert (refused[4], b"too many open files" in refused) == (packets.STATUS, True)
    served.end()
    os.close(own)
    for size in (0, packets.LONGEST + 1, 0xFFFFFFFF):
        with pytest.raises(BadPacket):
            packets.taken(bytearray(u32(size) + bytes(20)))
    assert inside.is_dir()
