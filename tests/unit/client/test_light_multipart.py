"""Forms with files: what is written can be read, however the bytes arrive."""

import email.parser
import email.policy
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.client import light_multipart
from lightervisor.client.light_multipart import Form, FormReader


def form(*contents: bytes) -> Form:
    made = Form("mark")
    for number, content in enumerate(contents):
        made.add(f"part{number}", f"file-{number}.tar.gz", io.BytesIO(content))
    made.finish()
    return made


def drain(made: Form, size: int = 7) -> bytes:
    return b"".join(iter(lambda: made.read(size), b""))


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.lists(st.binary(max_size=60), max_size=3), st.integers(1, 40))
def test_what_is_written_is_read_back(contents: list[bytes], size: int) -> None:
    reader = FormReader(cut(drain(form(*contents)), size), "mark")
    if contents:
        read = [(light_multipart.filename_of(h["content-disposition"]), b"".join(c)) for h, c in reader.parts()]
        assert read == [(f"file-{number}.tar.gz", content) for number, content in enumerate(contents)]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"\r\n--mar", b"mark", b"x"]), max_size=30), st.integers(1, 9))
def test_what_looks_like_a_mark_is_content(pieces: list[bytes], size: int) -> None:
    content = b"".join(pieces)
    if b"\r\n--mark" not in content:
        reader = FormReader(cut(drain(form(content, b"next")), size), "mark")
        assert [b"".join(content) for _, content in reader.parts()] == [content, b"next"]


def test_a_part_that_is_not_read_is_skipped() -> None:
    reader = FormReader(cut(drain(form(b"a" * 999, b"second")), 64), "mark")
    parts = reader.parts()
    next(parts)
    assert b"".join(next(parts)[1]) == b"second"
    assert next(parts, None) is None


def test_another_reader_understands_the_form() -> None:
    made = Form("mark")
    made.add("metadata", 'a"b\r\nc', io.BytesIO(b"content"))
    made.finish()
    head = f"Content-Type: {made.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + drain(made))
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "metadata"
    assert part.get_payload(decode=True) == b"content"


@pytest.mark.parametrize("size", [5, 20, 60, 100])
def test_a_form_that_breaks_off_is_an_error(size: int) -> None:
    whole = drain(form(b"content"))
    with pytest.raises(ConnectionError):
        for _, content in FormReader(cut(whole[: -len(whole) * size // 101], 16), "mark").parts():
            b"".join(content)


@pytest.mark.parametrize(
    ("text", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data;charset=x; Boundary="a b"', "a b"),
        ("application/octet-stream", ""),
        ("", ""),
    ],
)
def test_the_boundary_is_found(text: str, boundary: str) -> None:
    assert light_multipart.boundary_of(text) == boundary


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("inline;filename=abc.tar.gz", "abc.tar.gz"),
        ('form-data; name="metadata"; filename="meta-abc.tar.xz"', "meta-abc.tar.xz"),
        ("inline;filename=../../etc/passwd", "passwd"),
        ("inline;filename=..", ""),
        ("inline", ""),
    ],
)
def test_a_file_name_never_has_a_directory(text: str, name: str) -> None:
    assert light_multipart.filename_of(text) == name


@pytest.mark.parametrize("name", [".bashrc", "..", ".", "a/..", "a\0b", "a\nb", "../.profile"])
def test_a_server_does_not_choose_hidden_or_unprintable_names(name: str) -> None:
    assert light_multipart.filename_of(f'form-data; name="metadata"; filename="{name}"') == ""
