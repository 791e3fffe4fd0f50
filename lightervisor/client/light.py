"""The light transport: what every `lxc` command starts with.

Synchronous HTTP/1.1 over a raw socket, plain dictionaries, nothing imported that a unix-socket request does not need:
`ssl` only for https, no `http.client`, no `json`, no `re`. One `Server` is one kept-alive connection.
"""

from __future__ import annotations

from lightervisor.client import light_json
from lightervisor.client.light_errors import ApiError
from lightervisor.client.light_http import Response, Wire

__all__ = ["ApiError", "Server", "quote", "url"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lightervisor.client.light_http import Readable
    from lightervisor.client.light_websocket import WebSocket

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str) -> str:
    """Percent-encode one path segment or query value."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def url(*segments: str, **query: object) -> str:
    """`url("instances", "c1", recursion=1)` is `/1.0/instances/c1?recursion=1`; empty values are left out."""
    path = "/1.0" + "".join("/" + quote(segment) for segment in segments)
    pairs = "&".join(f"{key.replace('_', '-')}={quote(str(value))}" for key, value in query.items() if value != "")
    return f"{path}?{pairs}" if pairs else path


class Server:
    """One LXD server, seen from a client: requests, answers unpacked from LXD's envelope, websockets."""

    def __init__(self, connect: Callable[[], Wire], *, name: str, project: str = "", member: str = "") -> None:
        self.name, self.project, self.member = name, project, member
        self.trace: Callable[[str], None] | None = None
        self._connect, self._wire = connect, None
        self._info: dict[str, Any] = {}

    _wire: Wire | None

    def info(self) -> dict[str, Any]:
        """`GET /1.0`, once."""
        return self._info or self.refreshed()

    def refreshed(self) -> dict[str, Any]:
        """As `info`, asked again: what the server thinks of us may have changed."""
        self._info = self.get("/1.0")
        return self._info

    def has(self, extension: str) -> bool:
        """Whether the server names this API extension."""
        return extension in self.info().get("api_extensions", ())

    def is_clustered(self) -> bool:
        """Whether the server is a member of a cluster."""
        return bool(self.info().get("environment", {}).get("server_clustered"))

    def get(self, path: str) -> Any:
        """The metadata of a GET."""
        return self.call("GET", path)["metadata"]

    def fetch(self, path: str) -> tuple[Any, str]:
        """Metadata and ETag of a GET, for a later `put` that must not overwrite somebody else's change."""
        response = self.request("GET", path)
        return _unpack(response)["metadata"], response.headers.get("etag", "")

    def put(self, path: str, body: object, etag: str = "") -> dict[str, Any]:
        """PUT; returns the envelope."""
        return self.call("PUT", path, body, etag)

    def patch(self, path: str, body: object, etag: str = "") -> dict[str, Any]:
        """PATCH; returns the envelope."""
        return self.call("PATCH", path, body, etag)

    def post(self, path: str, body: object) -> dict[str, Any]:
        """POST; returns the envelope, whose metadata is an operation when its type is `async`."""
        return self.call("POST", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE; returns the envelope."""
        return self.call("DELETE", path)

    def exists(self, path: str) -> bool:
        """Whether a GET finds something."""
        try:
            self.get(path)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    def call(self, method: str, path: str, body: object = None, etag: str = "") -> dict[str, Any]:
        """Send one JSON request and unpack LXD's envelope; raises ApiError with the server's text."""
        headers = {"If-Match": etag} if etag else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = light_json.dumps(body).encode()
            if self.trace:
                self.trace(f"Sending request to LXD {data.decode()}")
        return _unpack(self.request(method, path, headers, data))

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Readable | None = None,
    ) -> Response:
        """Send one request; the answer is not interpreted and its body not yet read.

        A kept-alive connection that the server closed meanwhile is replaced once.
        """
        path, headers = self._scoped(path), headers or {}
        if any(name.startswith("X-LXD-") for name in headers):  # Incus knows the same ones by other names
            headers = {**headers, **{name.replace("X-LXD-", "X-Incus-"): value for name, value in headers.items()}}
        if self.trace:
            self.trace(f"{method} {path}")
        fresh = self._wire is None
        if self._wire is None:
            self._wire = self._connect()
        try:
            return self._wire.exchange(method, path, headers, body)
        except ConnectionError:
            self.close()
            if fresh or not (body is None or isinstance(body, bytes)):
                raise
            self._wire = self._connect()
            return self._wire.exchange(method, path, headers, body)
        except BaseException:
            # An answer that was not read to its end would be taken for the next one's.
            self.close()
            raise

    def websocket(self, path: str) -> WebSocket:
        """Open a websocket on a connection of its own."""
        from lightervisor.client.light_websocket import open_websocket

        path = self._scoped(path)
        if self.trace:
            self.trace(f"Websocket {path}")
        return open_websocket(self._connect(), path)

    def upgrade(self, path: str, protocol: str) -> Wire:
        """A connection of its own that speaks another protocol from now on. Raises ApiError when it is refused."""
        path = self._scoped(path)
        if self.trace:
            self.trace(f"Upgrade to {protocol} {path}")
        wire = self._connect()
        try:
            response = wire.exchange("GET", path, {"Upgrade": protocol, "Connection": "Upgrade"}, None)
            if response.status != 101:
                _unpack(response)
                raise ApiError(f"The server did not change to {protocol}", response.status)
        except BaseException:
            wire.close()
            raise
        return wire

    def close(self) -> None:
        """Close the kept connection; the next request opens another."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def scoped_to(self, *, project: str = "", member: str = "") -> Server:
        """The same server, asked for another project or cluster member."""
        other = Server(self._connect, name=self.name, project=project or self.project, member=member or self.member)
        other.trace = self.trace
        return other

    def _scoped(self, path: str) -> str:
        pairs: list[str] = []
        if self.project and self.project != "default" and "project=" not in path and "all-projects=" not in path:
            pairs.append("project=" + quote(self.project))
        if self.member and "target=" not in path:
            pairs.append("target=" + quote(self.member))
        if not pairs:
            return path
        return path + ("&" if "?" in path else "?") + "&".join(pairs)


def _unpack(response: Response) -> dict[str, Any]:
    body = response.read()
    try:
        envelope: Any = light_json.loads(body)
    except ValueError:
        raise ApiError(f"Server answered {response.status} without JSON", response.status) from None
    if not isinstance(envelope, dict):
        raise ApiError("Server answered something that is not LXD's envelope", response.status)
    answer: dict[str, Any] = light_json.as_map(envelope)
    if answer.get("type") == "error" or response.status >= 400:
        raise ApiError(str(answer.get("error", "")), int(answer.get("error_code") or response.status))
    return answer
