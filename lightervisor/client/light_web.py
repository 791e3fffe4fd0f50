"""Reading from plain web servers: public files over https, by the light transport.

Redirects are followed as long as they stay on https. What comes is not trusted: it has a largest size, and files are
hashed by who asked for them.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from lightervisor.client import light_tls
from lightervisor.errors import Invalid, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lightervisor.client.light_http import Response, Wire

_REDIRECTS = 10
_IDLE_S = 30
_MOVED = (301, 302, 303, 307, 308)
_NOT_TRUSTED = "its authority must be one that this system trusts; SSL_CERT_FILE names a file with others"


class Web:
    """A web server below an https address, and those that it redirects to; one connection to each is kept."""

    def __init__(self, address: str, *, pinned: Path | None = None, user_agent: str = "") -> None:
        self.address = address.rstrip("/")
        self.trace: Callable[[str], None] | None = None
        self._headers = {"User-Agent": user_agent} if user_agent else {}
        self._pins = {_origin(self.address): pinned}
        self._wires: dict[str, Wire] = {}

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Ask for a path below the address; the body is unread, and to be read before the next is asked for.

        The status is 200, 206 or 304. Raises NotFound, Unavailable without an answer or when the server has troubles,
        Forbidden for a certificate that is not accepted, Invalid for a redirect that leaves https or never ends.
        """
        url = f"{self.address}/{path}"
        for _ in range(_REDIRECTS + 1):
            if self.trace:
                self.trace(f"GET {url}")
            response = self._ask(url, {**self._headers, **(headers or {})})
            target = response.headers.get("location", "")
            if response.status not in _MOVED or not target:
                return _checked(response, url)
            response.read()
            url = urljoin(url, target)
        raise Invalid("URL", self.address, cause=f"{path} is redirected more than {_REDIRECTS} times")

    def content(self, response: Response, *, limit_bytes: int) -> bytes:
        """The whole body, unpacked if it is sent as gzip. Raises Invalid when it is longer, and as `blocks`."""
        if response.headers.get("content-encoding", "") != "gzip":
            return _collected(self.blocks(response), limit_bytes)
        import zlib

        unpacker = zlib.decompressobj(31)
        try:
            unpacked = (unpacker.decompress(block, limit_bytes + 1) for block in self.blocks(response))
            return _collected(unpacked, limit_bytes)
        except zlib.error as error:
            raise Invalid("document", cause=f"what the server sent is no gzip: {error}") from error

    def blocks(self, response: Response) -> Iterator[bytes]:
        """The body as it comes. Raises Unavailable when it stops."""
        try:
            yield from response.blocks()
        except (OSError, ValueError) as error:
            self.close()
            raise Unavailable("server", self.address, cause=f"the download stopped: {_reason(error)}") from error

    def close(self) -> None:
        """Close the connections; what is asked next opens others."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()

    def _ask(self, url: str, headers: dict[str, str]) -> Response:
        origin, parts = _origin(url), urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        is_kept = origin in self._wires
        try:
            return self._exchange(origin, path, headers)
        except (OSError, ValueError, IndexError) as error:
            self.close()
            if is_kept and not isinstance(error, TimeoutError):
                return self._ask(url, headers)  # a kept connection that the server had closed
            text = f'Get "{url}": {_reason(error)}'
            raise Unavailable("server", origin, text=text, remedy="is it reachable from here?") from error

    def _exchange(self, origin: str, path: str, headers: dict[str, str]) -> Response:
        if origin not in self._wires:
            pinned = self._pins.get(origin)
            told = origin.removesuffix(":443") + path.partition("?")[0]  # a query may hold a secret
            connect = light_tls.tls_connector(told, pinned=pinned, idle_s=_IDLE_S, port=443, remedy=_NOT_TRUSTED)
            self._wires[origin] = connect()
        return self._wires[origin].exchange("GET", path, headers, None)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError as error:
        raise Invalid("URL", url, cause=str(error)) from error
    if parts.scheme != "https" or not host:
        raise Invalid("URL", url, cause="only https:// is read, as anybody on the way could change the rest")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _checked(response: Response, url: str) -> Response:
    if response.status in (200, 206, 304):
        return response
    text = f"Unable to fetch {url}: {response.status}"
    if response.status in (404, 410):
        raise NotFound("file", url, text=text)
    raise Unavailable("server", url, text=text)


def _collected(blocks: Iterator[bytes], limit_bytes: int) -> bytes:
    received = bytearray()
    for block in blocks:
        received += block
        if len(received) > limit_bytes:
            raise Invalid("document", cause=f"it holds more than {limit_bytes >> 20} MiB")
    return bytes(received)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {_IDLE_S} seconds"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
