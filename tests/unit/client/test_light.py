"""The light transport against a scripted server on a socket pair."""

import json
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.client import light, light_json
from lightervisor.client.light_http import Wire


def serve(*answers: bytes) -> tuple[light.Server, list[bytes], Callable[[], None]]:
    """A server whose connection gives these answers, one for each request, and the requests it got."""
    ours, theirs = socket.socketpair()
    seen: list[bytes] = []

    def run() -> None:
        with theirs:
            for answer in answers:
                seen.append(theirs.recv(65_536))
                theirs.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    server = light.Server(lambda: Wire(ours, "unix.socket", is_local=True), name="local", project="web")

    def finish() -> None:
        server.close()
        ours.close()
        thread.join()

    return server, seen, finish


def reply(metadata: object, status: int = 200, **more: object) -> bytes:
    body = json.dumps({"type": "sync", "metadata": metadata, **more}).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nETag: abc\r\n\r\n%b" % (status, len(body), body)


def test_answers_are_unpacked_and_the_connection_is_kept() -> None:
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"met\r\n9\r\nadata":3}\r\n0\r\n\r\n'
    server, seen, finish = serve(reply([1, 2]), chunked, reply("x"))
    assert server.get("/1.0/instances") == [1, 2]
    assert server.get("/1.0/x?recursion=1") == 3
    assert server.fetch("/1.0/y") == ("x", "abc")
    finish()
    assert seen[0].startswith(b"GET /1.0/instances?project=web HTTP/1.1\r\n")
    assert seen[1].startswith(b"GET /1.0/x?recursion=1&project=web HTTP/1.1\r\n")


def test_an_error_is_raised_with_the_servers_words() -> None:
    server, _, finish = serve(reply(None, 404, type="error", error="Instance not found", error_code=404))
    with pytest.raises(light.ApiError, match="Instance not found") as caught:
        server.get("/1.0/instances/x")
    assert caught.value.code == 404
    finish()


def test_a_changed_object_is_sent_with_its_etag() -> None:
    server, seen, finish = serve(reply(None))
    server.put("/1.0/profiles/p", {"config": {}}, "abc")
    finish()
    assert b"\r\nIf-Match: abc\r\n" in seen[0]
    assert seen[0].endswith(b'\r\n\r\n{"config":{}}')


@given(st.text(st.characters(codec="utf-8")))
def test_paths_are_quoted(name: str) -> None:
    from urllib.parse import unquote

    quoted = light.quote(name)
    assert unquote(quoted) == name
    assert quoted.isascii()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(JSON)
def test_json_is_what_the_library_says(value: object) -> None:
    assert json.loads(light_json.dumps(value)) == value
    assert light_json.loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["", "{", "nope", "1 2", '{"a":}', "[1,]"])
def test_broken_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        light_json.loads(text)
