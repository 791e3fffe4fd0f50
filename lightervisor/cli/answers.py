"""Answers that are a file instead of LXD's envelope."""

from __future__ import annotations

from lightervisor.client import light_json
from lightervisor.client.light import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.client.light_http import Response


def check(response: Response) -> Response:
    """The answer, its body unread, if it is no error; else the error the body tells."""
    if response.status < 400:
        return response
    try:
        envelope = light_json.loads(response.read())
        raise ApiError(str(envelope["error"]), int(envelope.get("error_code") or response.status))
    except (ValueError, KeyError, TypeError):
        raise ApiError(f"The server answered with status {response.status}", response.status) from None


def content(response: Response) -> bytes:
    """The whole body of an answer that is no error."""
    return check(response).read()
