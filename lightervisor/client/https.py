"""HTTPS from this server to others: pinned certificates, proxies, limits of time, redirects that stay on HTTPS.

What comes is never trusted: callers hash it. A connection that stalls, drips, lies about its length or leads away from
HTTPS ends with Unavailable or Invalid that names the URL (without its query, which may hold a secret).
"""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from msgspec import Struct

from lightervisor.client.proxies import Proxies
from lightervisor.client.websockets import Dialled
from lightervisor.errors import Failure, Invalid, Unavailable

REDIRECTS = 10
_UNKNOWN = "certificate signed by unknown authority"
_X509 = {10: "certificate has expired", 18: _UNKNOWN, 19: _UNKNOWN, 20: _UNKNOWN, 21: _UNKNOWN}
"""Go's words for what OpenSSL finds wrong, by its numbers (X509_STORE_CTX_get_error(3))."""
_BUFFER = 1 << 20
_LINGERS = sys.version_info < (3, 12, 7)
"""Whether asyncio forgets to close a TLS connection whose other side is silent (CPython pull request 118960)."""
_GOODBYE_S = 5
_MOVED = (301, 302, 303, 307, 308)


class Patience(Struct, frozen=True, kw_only=True):
    """How long the other side may take, in seconds, and the bytes per second that it must reach in each window."""

    connect_s: float = 15
    headers_s: float = 60
    idle_s: float = 60
    window_s: float = 60
    slowest: int = 1024


class Outgoing(Struct, frozen=True, kw_only=True):
    """How this server goes out: the words it introduces itself with, its proxies as they are now, its patience."""

    user_agent: Callable[[], str]
    proxies: Callable[[], Proxies]
    patience: Patience = Patience()

    def to(self, certificate: str = "") -> "Peer":
        """Another server, with its certificate as PEM when that is known; else the host's authorities are asked."""
        return Peer(self, certificate)


class Peer:
    """One server, or one and those that it redirects to; connections are kept while the context lasts."""

    def __init__(self, outgoing: Outgoing, certificate: str) -> None:
        self._outgoing, self._certificate = outgoing, certificate
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(_context, self._certificate)
        patience = self._outgoing.patience
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, enable_cleanup_closed=_LINGERS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect_s, sock_read=patience.idle_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_BUFFER,
            headers={"User-Agent": self._outgoing.user_agent(), "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: AsyncIterable[bytes] | bytes | aiohttp.MultipartWriter | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """One request; the answer's body is still to be read, by `blocks` or `body`.

        Redirects of GET and HEAD are followed. Raises Unavailable when there is no answer, Invalid for anything but
        https and for redirects without end.
        """
        if self._session is None:
            raise RuntimeError("a peer is used outside of its context")
        follows = method in ("GET", "HEAD")
        for _ in range(REDIRECTS + 1):
            _check_https(url)
            async with self._answer(method, url, dict(headers or {}), data) as response:
                target = response.headers.get("Location", "")
                if not (follows and response.status in _MOVED and target):
                    yield response
                    return
            url = urljoin(url, target)
        raise Invalid("URL", shown(url), cause=f"it is redirected more than {REDIRECTS} times")

    @asynccontextmanager
    async def websocket(self, url: str, query: Mapping[str, str], *, longest: int) -> AsyncGenerator[Dialled, None]:
        """A websocket, closed at the end; a message has at most `longest` bytes, pings are answered.

        Raises Unavailable when there is none to be had, Invalid for anything but https.
        """
        if self._session is None:
            raise RuntimeError("a peer is used outside of its context")
        _check_https(url)
        with told("websocket", url):
            async with asyncio.timeout(self._outgoing.patience.headers_s):
                response = await self._session.ws_connect(
                    url,
                    params=query,
                    proxy=self._outgoing.proxies().of(url) or None,
                    max_msg_size=longest,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),  # pyright: ignore[reportCallIssue] -- attrs
                )
        try:
            yield Dialled(response)
        finally:
            await response.close()

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, headers: dict[str, str], data: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        if self._session is None:
            raise RuntimeError("a peer is used outside of its context")
        proxy = self._outgoing.proxies().of(url) or None
        with told(method, url):
            # A body of ours may take long to go out: then only its pauses are limited, by the session.
            limit = self._outgoing.patience.headers_s if data is None else None
            async with asyncio.timeout(limit):
                response = await self._session.request(
                    method, url, headers=headers, data=data, proxy=proxy, allow_redirects=False
                )
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Invalid("URL", shown(url), cause="the server compresses what it was asked to send as it is")
            yield response
        finally:
            _let_go(response)

    async def blocks(
        self, response: aiohttp.ClientResponse, read: Callable[[], Awaitable[bytes]] | None = None
    ) -> AsyncIterator[bytes]:
        """The body as it comes, or what `read` reads of it. Raises Unavailable when it stops early, stalls or drips."""
        read = read or response.content.readany
        patience, loop = self._outgoing.patience, asyncio.get_running_loop()
        waited_s, count = 0.0, 0
        while True:
            begun = loop.time()
            with told(response.method, str(response.url)):
                block = await read()
            if not block:
                return
            waited_s, count = waited_s + loop.time() - begun, count + len(block)
            if waited_s >= patience.window_s:
                if count < patience.slowest * waited_s:
                    cause = f"it sends less than {patience.slowest} bytes a second"
                    raise Unavailable("server", response.url.host or "", cause=cause)
                waited_s, count = 0.0, 0
            yield block

    async def body(self, response: aiohttp.ClientResponse, *, limit_bytes: int) -> bytes:
        """The whole body. Raises Invalid when it is longer than the limit, and what `blocks` raises."""
        received = bytearray()
        async for block in self.blocks(response):
            received += block
            if len(received) > limit_bytes:
                raise Invalid("URL", shown(str(response.url)), cause=f"it holds more than {limit_bytes >> 20} MiB")
        return bytes(received)


def _check_https(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise Invalid("URL", shown(url), cause="only https:// is read, as anybody on the way could change the rest")


def plain(text: str) -> str:
    """What another server said, on one line, not too long, and with nothing in it that a terminal obeys."""
    words = " ".join(text.split())[:500]
    return "".join(character if character.isprintable() else "?" for character in words)


def _let_go(response: aiohttp.ClientResponse) -> None:
    """Keep the connection for the next request, or, when there is more to come on it, cut it off."""
    if response.content.at_eof():
        response.release()
        return
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()  # a polite TLS goodbye would wait for a server that may never answer
    response.close()


def shown(url: str) -> str:
    """A URL without what may be secret in it: its query and a password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


@contextmanager
def told(method: str, url: str) -> Generator[None, None, None]:
    """Raise Unavailable for what goes wrong with a request, in Go's words: Get "URL": cause."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        text = f'{method.capitalize()} "{shown(url)}": {_cause(error)}'
        remedy = "is that server running, and reachable from here?"
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            remedy = "its certificate is not the one that was accepted, or nobody whom this host trusts signed it"
        raise Unavailable("server", urlsplit(url).netloc, text=text, remedy=remedy) from error


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"x509: {_X509.get(getattr(error.certificate_error, 'verify_code', 0), str(error.certificate_error))}"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        # asyncio's own words show its tuples; below zero are those of name look-ups, which have no such text
        reason = os.strerror(inner.errno) if inner.errno and inner.errno > 0 else inner.strerror or str(inner)
        return f"Unable to connect to: {error.host}:{error.port} ({' '.join(reason.split()).lower()[:200]})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split())[:300] or type(error).__name__


def _context(certificate: str) -> ssl.SSLContext:
    """Trust for exactly one certificate, or for the host's authorities. Raises Invalid for what is no certificate."""
    if not certificate:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is known: its name says nothing more
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise Invalid("certificate", text="Invalid certificate", remedy="give it as PEM") from error
    return context


def with_prefix(failure: Failure, prefix: str) -> Failure:
    """The same failure with words before it, as Go wraps errors."""
    return type(failure)(failure.kind, failure.name, text=f"{prefix}{failure.sentence()}", remedy=failure.remedy)
