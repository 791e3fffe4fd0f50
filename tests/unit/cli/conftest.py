"""A server that answers what a test tells it to, and our `lxc` in this process, talking to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lightervisor.cli import main, session
from lightervisor.client.light_http import Response, Wire

if TYPE_CHECKING:
    from lightervisor.client.light_http import Readable

ETAG = '"tag"'


class Scripted(Wire):
    """A connection whose other end knows the answers by "GET /1.0/path": metadata, an error (code, text), a file."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.sent: dict[str, Any] = {}
        self.asynchronous: dict[str, Any] = {}

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | Readable | None) -> Response:
        """Note what is asked and answer it."""
        line = f"{method} {path}"
        self.asked.append(line)
        if isinstance(body, bytes):
            self.sent[line] = json.loads(body)
            assert headers.get("If-Match", ETAG) == ETAG
        if line in self.asynchronous:
            return Canned(202, {"type": "async", "metadata": self.asynchronous[line]})
        if line not in self.answers and method == "GET":
            return Canned(404, {"type": "error", "error": "Not found", "error_code": 404})
        answer = self.answers.get(line, {})
        if isinstance(answer, bytes):
            return Canned(200, answer, "application/octet-stream")
        if isinstance(answer, tuple):
            code, text = answer
            return Canned(code, {"type": "error", "error": text, "error_code": code})
        return Canned(200, {"type": "sync", "metadata": answer})

    def close(self) -> None:
        """Nothing is open."""


class Canned(Response):
    """An answer that is there already: an envelope, or a file's bytes."""

    def __init__(self, status: int, body: dict[str, Any] | bytes, kind: str = "application/json") -> None:
        self.status, self.headers = status, {"etag": ETAG, "content-type": kind}
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def blocks(self) -> Iterator[bytes]:
        """The whole body at once."""
        yield self._body


class Client:
    """Our `lxc` with a scripted server behind it."""

    def __init__(self, folder: Path, server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "config.yml").write_text("default-remote: local\n")
        self.environ = {"LXD_CONF": str(folder), "LXD_GLOBAL_CONF": str(folder / "none"), "LXD_DIR": str(folder)}
        self.server, self._capsys = server, capsys

    def __call__(self, *words: str) -> str:
        """Run words that must succeed; what they print."""
        status = main.run(list(words), self.environ)
        out, err = self._capsys.readouterr()
        assert (status, err) == (0, "")
        return out

    def fail(self, *words: str) -> str:
        """Run words that must fail; the error without `Error: `."""
        assert main.run(list(words), self.environ) == 1
        return self._capsys.readouterr().err.removeprefix("Error: ").rstrip("\n")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Client:
    """Our `lxc`; standard input is no terminal and empty."""
    server = Scripted()
    monkeypatch.setattr(session, "unix_connector", lambda _path: lambda: server)
    return Client(tmp_path, server, capsys)
