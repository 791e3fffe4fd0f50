"""File capabilities whose tie to an id map's root is taken away."""

from __future__ import annotations

import struct

from lightervisor.kernel.owners import untied

NET_RAW = struct.pack("<IIII", 1 << 13, 0, 0, 0)


def test_capabilities_of_a_maps_root_become_those_of_any() -> None:
    tied = struct.pack("<I", 0x03000001) + NET_RAW + struct.pack("<I", 1_000_000)
    assert untied(tied) == struct.pack("<I", 0x02000001) + NET_RAW


def test_what_is_not_tied_stays_as_it_is() -> None:
    plain = struct.pack("<I", 0x02000001) + NET_RAW
    assert untied(plain) == plain
    assert untied(b"short") == b"short"
