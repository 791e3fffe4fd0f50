"""Forms with files, as a client sends them and as a server does: each is read, or refused with an error of ours."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st

from lightervisor.api import errors, image_forms
from lightervisor.client import light_multipart
from lightervisor.images import upload
from lightervisor.images.upload import Part
from tests.fuzz.examples import damaged
from tests.fuzz.fuzzing import HANGS, fuzz

pytestmark = HANGS
HEADERS = st.sampled_from(
    [
        b'Content-Disposition: form-data; name="metadata"; filename="meta.tar.xz"',
        b'Content-Disposition: form-data; name="rootfs"; filename="../../etc/passwd"',
        b"Content-Disposition: form-data; name=rootfs; filename*=UTF-8''%2e%2e%2fx",
        b'Content-Disposition: form-data; filename="a\0b"',
        b"Content-Type: multipart/mixed; boundary=inner",
        b"Content-Type: application/octet-stream",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Encoding: gzip",
        b"Content-Encoding: deflate",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b": nothing",
        b"A: " + b"a" * 300,
    ]
)
contents = st.binary(max_size=200) | st.sampled_from([b"", b"\r\n", b"\r\n--q", b"--q--", b"\x1f\x8b\x08" + bytes(30)])


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """A form with the boundary `q`."""
    lines = [draw(st.sampled_from([b"", b"", b"preamble\r\n"]))]
    for number in range(draw(st.integers(0, 4))):
        heads = draw(st.lists(HEADERS, max_size=3))
        if draw(st.integers(0, 3)):
            field = b"rootfs" if number else b"metadata"
            heads.insert(0, b'Content-Disposition: form-data; name="%s"; filename="f.tar"' % field)
        lines.append(b"--q\r\n" + b"\r\n".join(heads) + b"\r\n\r\n" + draw(contents) + b"\r\n")
    return b"".join(lines) + draw(st.sampled_from([b"--q--\r\n", b"--q--", b"", b"--q", b"--q-"]))


class Incoming:
    """The image store's way to receive, into a directory of the test's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def receive(self, blocks: AsyncIterator[bytes], after: Part | None = None) -> Part:
        """As the store does it."""
        return await upload.receive(self.directory, blocks, after)


async def _send(incoming: Incoming, body: bytes, content_type: str) -> None:
    loop = asyncio.get_running_loop()
    payload = StreamReader(mock.Mock(spec=BaseProtocol, _reading_paused=False), 1 << 16, loop=loop)
    request = make_mocked_request("POST", "/1.0/images", {"Content-Type": content_type}, payload=payload)
    payload.feed_data(body)
    payload.feed_eof()
    try:
        received, name = await asyncio.wait_for(image_forms.receive(request, incoming), 10)
    except AssertionError:
        raise
    except Exception as error:  # the server answers any of them
        if errors.answer(error).status != 400:
            raise
    else:
        assert received.size <= len(body) + (1 << 20)
        assert name.encode().decode() == name
        received.discard()
    assert not list(incoming.directory.iterdir())


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam")
def test_forms_that_clients_send() -> None:
    kinds = st.sampled_from(["multipart/form-data; boundary=q"] * 9 + ["multipart/form-data", "multipart/mixed"])
    with tempfile.TemporaryDirectory() as place, asyncio.Runner() as runner:
        incoming = Incoming(Path(place))

        def target(example: tuple[bytes, str]) -> None:
            runner.run(_send(incoming, *example))

        fuzz("forms", st.tuples(forms() | damaged(forms()), kinds), target)


def test_forms_that_servers_send() -> None:
    def cut(data: bytes, size: int) -> Iterator[bytes]:
        return (data[at : at + size] for at in range(0, len(data), size))

    def target(example: tuple[bytes, int]) -> None:
        body, size = example
        count = 0
        with suppress(ConnectionError):
            for headers, content in light_multipart.FormReader(cut(body, size), "q").parts():
                name = light_multipart.filename_of(headers.get("content-disposition", ""))
                assert name == "" or (Path(name).name == name and name.isprintable())
                count += sum(map(len, content))
        assert count <= len(body)

    fuzz("server-forms", st.tuples(forms() | damaged(forms()), st.integers(1, 300)), target)
