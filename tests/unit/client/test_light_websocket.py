"""Frames of the small websocket client."""

from hypothesis import given
from hypothesis import strategies as st

from lightervisor.client import light_websocket as ws


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(data: bytes, key: bytes) -> None:
    assert ws.mask(ws.mask(data, key), key) == data
    assert ws.mask(data[:9], key) == bytes(byte ^ key[i % 4] for i, byte in enumerate(data[:9]))


@given(
    st.lists(st.tuples(st.sampled_from([ws.TEXT, ws.BINARY]), st.binary(max_size=300))),
    st.integers(1, 50),
    st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
)
def test_messages_survive_any_cutting(messages: list[tuple[int, bytes]], step: int, key: bytes | None) -> None:
    stream = b"".join(ws.frame(opcode, data, key) for opcode, data in messages)
    reader, found = ws.FrameReader(), list[tuple[int, bytes]]()
    for start in range(0, len(stream), step):
        found += reader.feed(stream[start : start + step])
    assert found == messages


def test_fragments_are_joined_around_a_ping() -> None:
    first = bytes((ws.BINARY, 2)) + b"ab"
    ping = bytes((0x80 | ws.PING, 0))
    last = bytes((0x80, 1)) + b"c"
    assert ws.FrameReader().feed(first + ping + last) == [(ws.PING, b""), (ws.BINARY, b"abc")]


def test_long_payloads_use_the_long_lengths() -> None:
    for size in (125, 126, 65_535, 65_536):
        assert ws.FrameReader().feed(ws.frame(ws.BINARY, b"x" * size, None)) == [(ws.BINARY, b"x" * size)]
