"""Messages of migration as bytes: what LXD's own encoder makes, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightervisor.errors import Invalid
from lightervisor.migration.frames import Control, Device, FilesBy, Header, Pair, Range, RsyncFeatures, Snapshot
from lightervisor.migration.protobuf import LARGEST, MOST_FIELDS

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
texts, numbers = st.text(max_size=20), st.integers(-(1 << 63), (1 << 63) - 1)
pairs = st.builds(Pair, key=texts, value=texts)
snapshots = st.builds(
    Snapshot,
    name=texts,
    config=st.lists(pairs, max_size=3).map(tuple),
    profiles=st.lists(texts, max_size=3).map(tuple),
    devices=st.lists(st.builds(Device, name=texts, pairs=st.lists(pairs, max_size=2).map(tuple)), max_size=2).map(
        tuple
    ),
    created_at=numbers,
)
headers = st.builds(
    Header,
    files_by=st.sampled_from(list(FilesBy)).map(int),
    memory_by=st.none() | st.integers(0, 2),
    idmap=st.lists(
        st.builds(Range, is_uid=st.booleans(), is_gid=st.booleans(), host=numbers, guest=numbers, count=numbers),
        max_size=2,
    ).map(tuple),
    snapshot_names=st.lists(texts, max_size=3).map(tuple),
    snapshots=st.lists(snapshots, max_size=2).map(tuple),
    rsync=st.none() | st.builds(RsyncFeatures, xattrs=st.booleans(), delete=st.booleans()),
    refresh=st.none() | st.booleans(),
    index_version=st.none() | st.integers(0, 5),
)


@patient
@given(headers)
def test_what_is_encoded_is_decoded_again(header: Header) -> None:
    assert Header.decode(header.encode()) == header


@patient
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        Header.decode(data)
    except Invalid as failure:
        assert "message" in failure.sentence()


@patient
@given(headers, st.data())
def test_a_message_that_is_cut_off_is_refused_or_lacks_its_end(header: Header, data: st.DataObject) -> None:
    whole = header.encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        assert Header.decode(cut).files_by == header.files_by
    except Invalid:
        return


def test_the_bytes_are_those_of_protocol_buffers() -> None:
    """By hand, after the specification: a number, a text, a negative number of ten bytes, a message in a message."""
    assert Control(success=False, message="no").encode() == b"\x08\x00\x12\x02no"
    snapshot = Snapshot(name="a", created_at=-1)
    assert b"\x0a\x01a" in snapshot.encode()
    assert b"\x40" + b"\xff" * 9 + b"\x01" in snapshot.encode()
    assert (
        Header(files_by=FilesBy.RSYNC, rsync=RsyncFeatures(delete=True))
        .encode()
        .endswith(b"\x42\x08\x08\x00\x10\x01\x18\x00\x20\x00")
    )


def test_a_message_has_no_more_fields_than_can_be_read_soon() -> None:
    with pytest.raises(Invalid, match=f"more than {MOST_FIELDS} fields"):
        Header.decode(b"\x08\x00" + b"\x7a\x00" * MOST_FIELDS)
    whole = Header(files_by=0, rsync=RsyncFeatures()).encode() + b"\x42\x02\x08\x00" * (MOST_FIELDS // 2)
    with pytest.raises(Invalid, match=f"more than {MOST_FIELDS} fields"):
        Header.decode(whole)  # those of messages in it count as well
    with pytest.raises(Invalid, match="MiB"):
        Header.decode(bytes(LARGEST + 1))


def test_fields_that_are_not_known_are_skipped() -> None:
    later = b"\x08\x00" + b"\xa2\x06\x03new" + b"\xa8\x06\x07" + b"\xb1\x06" + bytes(8) + b"\xb5\x06" + bytes(4)
    assert Header.decode(later) == Header(files_by=0)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "files_by is missing"),
        (b"\x0a\x01x", "a field in it is of another kind"),
        (b"\x08" + b"\xff" * 11, "a number in it has no end"),
        (b"\x08\x00\x42\x7f", "it ends in the middle of a field"),
        (b"\x08\x00\x22\x01\xff", "a text in it is not UTF-8"),
        (b"\x08\x00\x0b", "its field 1 has the shape 3"),
        (b"\x08\x00\x2a\x00", "name is missing"),
    ],
)
def test_what_is_no_header_is_refused_with_the_reason(data: bytes, cause: str) -> None:
    with pytest.raises(Invalid, match=cause):
        Header.decode(data)
