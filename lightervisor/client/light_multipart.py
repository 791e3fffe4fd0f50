"""multipart/form-data with files as its parts, written and read as streams. Source: RFC 7578, RFC 2046 section 5.1."""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightervisor.client.light_http import Readable

_MOST_HEAD = 65_536
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class Form:
    """A form to be sent: `read` gives it piece by piece, nothing is held in memory."""

    def __init__(self, boundary: str) -> None:
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._boundary = boundary
        self._pieces: list[Readable] = []

    def add(self, field: str, filename: str, content: Readable) -> None:
        """Append a file."""
        head = (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{field}"; filename="{filename.translate(_ESCAPED)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._pieces += [io.BytesIO(head.encode("utf-8", "surrogateescape")), content, io.BytesIO(b"\r\n")]

    def finish(self) -> None:
        """Append the mark that ends it."""
        self._pieces.append(io.BytesIO(f"--{self._boundary}--\r\n".encode()))

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        while self._pieces:
            data = self._pieces[0].read(size)
            if data:
                return data
            del self._pieces[0]
        return b""


def boundary_of(content_type: str) -> str:
    """The boundary a Content-Type names; empty when it is no form."""
    kind, *settings = content_type.split(";")
    if kind.strip().lower() != "multipart/form-data":
        return ""
    return _setting(settings, "boundary")


def filename_of(disposition: str) -> str:
    """The file name a Content-Disposition gives, without any directory; empty when there is none.

    A name that is hidden or cannot be printed counts as none: a server must not choose `.bashrc`.
    """
    name = _setting(disposition.split(";")[1:], "filename").rpartition("/")[2]
    return "" if name.startswith(".") or not name.isprintable() else name


def _setting(settings: Sequence[str], wanted: str) -> str:
    for setting in settings:
        name, _, value = setting.partition("=")
        if name.strip().lower() == wanted:
            return value.strip().strip('"')
    return ""


class FormReader:
    """A form that arrives: its parts one after the other, each with its headers (names in lower case) and content."""

    def __init__(self, blocks: Iterator[bytes], boundary: str) -> None:
        self._blocks, self._mark = blocks, b"\r\n--" + boundary.encode("latin-1")
        self._buffer = b"\r\n"  # the first mark has no line before it

    def parts(self) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
        """The parts; what of one was not read is skipped. Raises ConnectionError for a form without its end."""
        content = self._until_mark()
        while True:
            for _ in content:
                continue
            while len(self._buffer) < 2:
                self._fill()
            if self._buffer.startswith(b"--"):
                for _ in self._blocks:
                    continue
                return
            headers = self._head()
            content = self._until_mark()
            yield headers, content

    def _head(self) -> dict[str, str]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise ConnectionError("The server sent a form whose part has no beginning")
            self._fill()
        lines, self._buffer = self._buffer[:end].decode("utf-8", "replace"), self._buffer[end + 4 :]
        headers: dict[str, str] = {}
        for line in lines.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _until_mark(self) -> Iterator[bytes]:
        kept = len(self._mark) - 1
        while (at := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > kept:
                data, self._buffer = self._buffer[:-kept], self._buffer[-kept:]
                yield data
            self._fill()
        data, self._buffer = self._buffer[:at], self._buffer[at + len(self._mark) :]
        if data:
            yield data

    def _fill(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            raise ConnectionError("The server's form has no end")
        self._buffer += block
