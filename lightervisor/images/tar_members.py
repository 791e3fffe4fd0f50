"""The members of a tar stream, one after the other, with limits: nothing is unpacked and little is kept in memory.

Python's tarfile reads names and extended headers of any size into memory, which a few bytes of a compressed archive
may claim to be gigabytes. Source: tar(5), POSIX pax.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from lightervisor.errors import Invalid

BLOCK = 512
LARGEST_HEADER = 1 << 20
CHUNK = 1 << 20
LONGEST_NUMBER = 20
"""Digits that a decimal number in an extended header may have."""
REGULAR, HARD_LINK, DIRECTORY = b"0", b"1", b"5"
_REGULAR = (b"0", b"\0", b"7", b"S")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
Read = Callable[[int], bytes]


class Member(NamedTuple):
    """One entry: its name without "./", its type (a plain file is REGULAR), its size and a way to read its bytes."""

    name: str
    type: bytes
    size: int
    data: Callable[[], bytes]


def members(read: Read) -> Generator[Member, None, None]:
    """Each member in turn; the stream is read to its end. Raises Invalid when it is damaged.

    `read` returns as many bytes as asked for unless the stream ends. `data` is to be called before the next member.
    """
    extended: dict[str, str] = {}
    while (header := read(BLOCK)) and header.strip(b"\0"):
        if len(header) < BLOCK:
            raise damaged("it ends within a header")
        _check(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            text = _whole(read, size, LARGEST_HEADER)
            if kind == b"x":
                extended |= _records(text)
            elif kind == b"L":
                extended["path"] = text.rstrip(b"\0").decode(errors="surrogateescape")
            continue
        while kind == b"S" and header[482] and (more := read(BLOCK)) and len(more) == BLOCK and more[504]:
            pass  # the map of a sparse file in GNU's old way goes on
        size = _decimal(extended["size"].encode(errors="replace")) if "size" in extended else size
        yield from _member(read, _name(header, extended), kind, 0 if kind in _WITHOUT_DATA else size)
        extended = {}


def _member(read: Read, name: str, kind: bytes, size: int) -> Generator[Member, None, None]:
    taken = False

    def data() -> bytes:
        nonlocal taken
        taken = True
        return _whole(read, size, size)

    yield Member(name, REGULAR if kind in _REGULAR else kind, size, data)
    left = 0 if taken else size + -size % BLOCK
    while left:
        skipped = len(read(min(CHUNK, left)))
        if not skipped:
            raise damaged(f"it ends within {name!r}")
        left -= skipped


def _check(header: bytes) -> None:
    if sum(header[:148]) + 8 * 32 + sum(header[156:]) != _number(header[148:156]):
        raise damaged("a header's checksum is wrong")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b" \0") or b"0"
        try:
            value = int(digits, 8)
        except ValueError:
            value = -1
    if not 0 <= value < 1 << 62:
        raise damaged("a header has a wrong number")
    return value


def _whole(read: Read, size: int, most: int) -> bytes:
    if size > most:
        raise damaged(f"a header claims {size} bytes")
    text = read(size + -size % BLOCK)
    if len(text) < size:
        raise damaged("it ends within a member")
    return text[:size]


def _records(text: bytes) -> dict[str, str]:
    """The pairs of a pax header, each "LENGTH KEY=VALUE\\n"; read in place, as there may be very many."""
    found: dict[str, str] = {}
    start, stop = 0, len(text.rstrip(b"\0"))
    while start < stop:
        blank = text.find(b" ", start, start + LONGEST_NUMBER + 1)
        length = _decimal(text[start:blank]) if blank > start else 0
        if blank < 0 or not blank - start + 2 < length <= len(text) - start:
            raise damaged("an extended header is wrong")
        key, _, value = text[blank + 1 : start + length - 1].partition(b"=")
        found[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        start += length
    return found


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > LONGEST_NUMBER:
        raise damaged("a header has a wrong number")
    return int(digits)


def _name(header: bytes, extended: dict[str, str]) -> str:
    name = extended.get("GNU.sparse.name") or extended.get("path")
    if name is None:
        plain = header[:100].partition(b"\0")[0]
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        name = (prefix + b"/" + plain if prefix else plain).decode(errors="surrogateescape")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def damaged(what: str) -> Invalid:
    """The error for an archive that cannot be read."""
    return Invalid("image", cause=f"the archive is damaged: {what}")
