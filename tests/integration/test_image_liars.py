"""Servers of LXD's API that say what is not so: each is refused, and nothing of what it sent stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.daemon import Daemon
from tests.harness.web import Request, Web, serving


class Liar:
    """A server with one image, called x, of which it may say anything."""

    def __init__(self, web: Web, content: bytes) -> None:
        self.web, self.content = web, content
        self.fingerprint = hashlib.sha256(content).hexdigest()

    def tell(self, *, target: str = "", **more: Any) -> None:
        """Show the alias and the image, with these fields changed."""
        image = {"fingerprint": self.fingerprint, "size": len(self.content), "public": True, "type": "container"}
        target = target or self.fingerprint
        self.show("/1.0/images/aliases/x", {"name": "x", "target": target})
        self.show(f"/1.0/images/{target}", {**image, **more})
        self.web.pages[f"/1.0/images/{self.fingerprint}/export"] = self.content

    def show(self, path: str, metadata: object) -> None:
        """An answer in LXD's envelope."""
        self.web.pages[path] = json.dumps({"type": "sync", "status_code": 200, "metadata": metadata}).encode()

    def source(self) -> dict[str, str]:
        """What a request says to fetch from here."""
        return {
            "type": "image", "mode": "pull", "protocol": "lxd", "alias": "x", "server": self.web.url,
            "certificate": self.web.certificate,
        }  # fmt: skip


@pytest.fixture
def liar(daemon: Daemon, tmp_path: Path) -> Iterator[Liar]:
    content = images.unified(
        tmp_path / "x.tar.gz", metadata=images.METADATA + f"  mark: {tmp_path.name}\n"
    ).read_bytes()
    before = stored(daemon)
    with serving() as web:
        yield Liar(web, content)
    assert stored(daemon) == before
    assert not list((daemon.state / "images/.incoming").iterdir())


def stored(daemon: Daemon) -> list[str]:
    """The files in the store."""
    return sorted(entry.name for entry in (daemon.state / "images").iterdir() if entry.is_file())


def refusal(daemon: Daemon, liar: Liar) -> str:
    return str(daemon.operation("POST", "/1.0/images", {"source": liar.source()})["err"])


@pytest.mark.parametrize("fingerprint", ["../../x", "A" * 64, "a" * 63, "%2e%2e", "", "a" * 64 + "/.."])
def test_fingerprints_that_are_none(daemon: Daemon, liar: Liar, fingerprint: str) -> None:
    liar.tell(fingerprint=fingerprint)
    assert "the server's fingerprint is not a sha256" in refusal(daemon, liar)


def test_an_alias_that_leads_to_another_image(daemon: Daemon, liar: Liar) -> None:
    liar.tell(target="b" * 64)
    assert "the alias 'x' stands for another one there" in refusal(daemon, liar)


def test_bytes_of_another_image(daemon: Daemon, liar: Liar) -> None:
    liar.tell()
    liar.web.pages[f"/1.0/images/{liar.fingerprint}/export"] = bytes(len(liar.content))
    assert refusal(daemon, liar).startswith("Image fingerprint doesn't match. Got ")


def test_more_bytes_than_told(daemon: Daemon, liar: Liar) -> None:
    liar.tell(size=1000)
    assert "is longer than the 1000 bytes that it should have" in refusal(daemon, liar)


def test_a_form_that_is_longer_than_told(daemon: Daemon, liar: Liar) -> None:
    liar.tell(size=1000)
    head = b'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n'
    form = head + liar.content + b"\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    liar.web.pages[f"/1.0/images/{liar.fingerprint}/export"] = lambda request: request.answer(200, form, kind)
    assert "the server sends more than it said that the image has" in refusal(daemon, liar)


@pytest.mark.parametrize("names", [["rootfs"], ["metadata"], ["metadata", "rootfs", "rootfs"], ["metadata", "x"], []])
def test_forms_of_other_parts(daemon: Daemon, liar: Liar, names: list[str]) -> None:
    liar.tell(size=10_000)
    parts = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="m"\r\n\r\nabc\r\n'.encode() for name in names
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    body = parts + b"--b--\r\n"
    liar.web.pages[f"/1.0/images/{liar.fingerprint}/export"] = lambda request: request.answer(200, body, kind)
    assert refusal(daemon, liar) == "Invalid multipart image"


def test_images_of_virtual_machines(daemon: Daemon, liar: Liar) -> None:
    liar.tell(type="virtual-machine")
    assert "images of virtual machines are not offered" in refusal(daemon, liar)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"[" * 100_000, b'{"metadata": 7}', b'{"metadata": {"target": 7}}', b"\xff"]
)
def test_answers_that_are_not_lxds(daemon: Daemon, liar: Liar, body: bytes) -> None:
    liar.web.pages["/1.0/images/aliases/x"] = body
    assert "it does not answer as LXD does" in refusal(daemon, liar)


def test_an_answer_without_an_end(daemon: Daemon, liar: Liar) -> None:
    def endless(request: Request) -> None:
        request.head(200, {"Content-Length": str(1 << 40)})
        try:
            while True:
                request.wfile.write(bytes(1 << 16))
        except OSError:
            return

    liar.web.pages["/1.0/images/aliases/x"] = endless
    assert "holds more than 4 MiB" in refusal(daemon, liar)


def test_words_of_a_server_are_cut_short_and_plain(daemon: Daemon, liar: Liar) -> None:
    text = "no\x1b[31m\n" + "x" * 100_000
    body = json.dumps({"type": "error", "error": text, "error_code": 500}).encode()
    liar.web.pages["/1.0/images/aliases/x"] = lambda request: request.answer(500, body)
    said = refusal(daemon, liar)
    assert said.startswith("Failed getting remote image info: no")
    assert len(said) < 1000
    assert said.isprintable()


def test_a_connection_that_breaks_off_is_made_again(daemon: Daemon, liar: Liar) -> None:
    liar.tell()
    half = len(liar.content) // 2

    def break_off(request: Request) -> None:
        if request.offset:
            request.file(liar.content)
        else:
            request.cut(liar.content, half)

    path = f"/1.0/images/{liar.fingerprint}/export"
    liar.web.pages[path] = break_off
    assert refusal(daemon, liar) == ""
    ranges = [headers.get("range") for _, asked, headers in liar.web.seen if asked == path]
    assert ranges[0] is None
    assert (ranges[-1] or "").startswith("bytes=")
    assert daemon.operation("DELETE", f"/1.0/images/{liar.fingerprint}")["err"] == ""
