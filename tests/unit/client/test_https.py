"""HTTPS to other servers: whom it trusts, where it lets itself be led, how long it waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lightervisor.client.https import Outgoing, Patience, shown
from lightervisor.client.proxies import Proxies
from lightervisor.errors import Failure, Invalid, Unavailable
from tests.harness.web import Request, Web, serving

QUICK = Patience(connect_s=2, headers_s=1, idle_s=1, window_s=0.3, slowest=10_000)
LIMIT = 1 << 20


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a page waits for that must not answer; opened at the end, so that its thread ends."""
    event = threading.Event()
    yield event
    event.set()


def outgoing(patience: Patience = QUICK) -> Outgoing:
    return Outgoing(user_agent=lambda: "LXD test", proxies=Proxies, patience=patience)


async def read(web: Web, path: str, *, certificate: str | None = None, limit: int = LIMIT) -> bytes:
    pinned = web.certificate if certificate is None else certificate
    async with outgoing().to(pinned) as peer, peer.request("GET", f"{web.url}{path}") as response:
        return await peer.body(response, limit_bytes=limit)


async def test_a_pinned_certificate_is_trusted_and_no_other(web: Web) -> None:
    web.pages["/x"] = b"hello"
    assert await read(web, "/x") == b"hello"
    assert web.seen[0][2]["user-agent"] == "LXD test"
    with pytest.raises(Unavailable, match=f'Get "{web.url}/x": x509: certificate signed by unknown authority'):
        await read(web, "/x", certificate="")
    with serving() as other, pytest.raises(Unavailable, match="x509: "):
        await read(web, "/x", certificate=other.certificate)
    with pytest.raises(Invalid, match="Invalid certificate"):
        await read(web, "/x", certificate="nonsense")


async def test_nobody_listens() -> None:
    async with outgoing().to() as peer:
        with pytest.raises(Unavailable, match=r": Unable to connect to: 127.0.0.1:1 \(connection refused\)$"):
            async with peer.request("GET", "https://127.0.0.1:1/x?secret=s"):
                pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/shadow", "/x", "ftp://a/", "https://"])
async def test_only_https_is_read(url: str) -> None:
    async with outgoing().to() as peer:
        with pytest.raises(Invalid, match="only https"):
            async with peer.request("GET", url):
                pass


async def test_redirects_stay_on_https_and_end(web: Web) -> None:
    web.pages.update({
        "/a": lambda request: request.redirect("b"), "/b": b"there",
        "/down": lambda request: request.redirect("http://127.0.0.1:1/b"),
        "/file": lambda request: request.redirect("file:///etc/shadow"),
        "/loop": lambda request: request.redirect("/loop"),
    })  # fmt: skip
    assert await read(web, "/a") == b"there"
    for path in ("/down", "/file"):
        with pytest.raises(Invalid, match="only https"):
            await read(web, path)
    with pytest.raises(Invalid, match="redirected more than"):
        await read(web, "/loop")


async def test_lengths_that_are_lies(web: Web) -> None:
    web.pages["/short"] = lambda request: request.cut(b"x" * 1000, 10)
    with pytest.raises(Unavailable, match="/short"):
        await read(web, "/short")
    web.pages["/endless"] = b"x" * 2000
    with pytest.raises(Invalid, match="holds more than"):
        await read(web, "/endless", limit=1000)


async def test_compressed_bodies_are_refused(web: Web) -> None:
    web.pages["/z"] = lambda request: request.answer(200, b"x", {"Content-Encoding": "gzip"})
    with pytest.raises(Invalid, match="compresses"):
        await read(web, "/z")


async def test_a_server_that_says_nothing(web: Web, gate: threading.Event) -> None:
    def say_nothing(_request: Request) -> None:
        gate.wait(30)

    web.pages["/silent"] = say_nothing
    with pytest.raises(Unavailable, match="no answer in time"):
        await read(web, "/silent")


async def test_a_server_that_stalls(web: Web, gate: threading.Event) -> None:
    def stall(request: Request) -> None:
        request.head(200, {"Content-Length": "100"})
        request.wfile.write(b"x")
        gate.wait(30)

    web.pages["/stall"] = stall
    with pytest.raises(Unavailable, match="no answer in time"):
        await read(web, "/stall")


async def test_a_server_that_drips(web: Web, gate: threading.Event) -> None:
    def drip(request: Request) -> None:
        request.head(200, {"Content-Length": "100000"})
        while not gate.wait(0.05):
            request.wfile.write(b"x")

    web.pages["/drip"] = drip
    with pytest.raises(Failure, match="less than 10000 bytes a second"):
        await read(web, "/drip")


def test_urls_are_shown_without_their_secrets() -> None:
    assert shown("https://me:pw@host:1/x?secret=s#f") == "https://host:1/x"
