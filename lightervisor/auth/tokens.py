"""Join tokens: secrets of one use that make their bearer a trusted client. Source: LXD, `lxc config trust add --name`.

A token is an operation of class `token` that belongs to the server, so that only administrators see it and its secret.
What the bearer becomes was written down when the token was issued; what it asks for itself does not count.
"""

import base64
import binascii
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from lightervisor.auth.certificate import NO_LINES
from lightervisor.auth.store import CLIENT, check_projects
from lightervisor.config import expiry
from lightervisor.errors import Forbidden, Invalid
from lightervisor.model.certificate import CertificateAddToken, CertificatesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import now
from lightervisor.operations.operations import Operations

EXPIRY = "core.remote_token_expiry"
DESCRIPTION = "Executing operation"  # what LXD calls these
LONGEST_TIMER_S = 3600.0


class JoinTokens:
    """The tokens that are out. They live in memory: a daemon that starts anew has none."""

    def __init__(self, operations: Operations, settings: Callable[[], Mapping[str, str]]) -> None:
        self._operations, self._settings = operations, settings

    def issue(self, request: CertificatesPost, fingerprint: str, addresses: list[str]) -> Operation:
        """A new token for this server, which shows a certificate with `fingerprint` at `addresses`.

        Raises Invalid with LXD's texts.
        """
        if request.certificate:
            raise Invalid("token", text="Can't use certificate if token is requested")
        if request.type != CLIENT:
            raise Invalid("token", text="Tokens can only be issued for client certificates")
        check_projects(request.projects)
        expression = self._settings().get(EXPIRY, "")
        expires_at = expiry.after(now(), expression) if expression else None
        metadata: dict[str, Any] = {"addresses": addresses, "fingerprint": fingerprint, "request": request}
        if expires_at is not None:
            metadata["expiresAt"] = expires_at
        operation = self._operations.add_token(DESCRIPTION, project="", metadata=metadata)
        if expires_at is not None:
            self._watch(operation.id, expires_at)
        return operation

    def reads(self, text: str) -> bool:
        """Whether a text looks like a token; a password that does cannot be told from one."""
        return _decoded(text) is not None

    def redeem(self, text: str, wanted: CertificatesPost) -> CertificatesPost:
        """Use up a token: the request as the token allows it. Raises Forbidden for one that is not out (any more)."""
        token = _decoded(text)
        secret = "" if token is None else token.secret
        for issued in self._operations.tokens(DESCRIPTION):
            if self._operations.has_secret(issued.id, secret):
                self._operations.cancel(issued.id)
                metadata = issued.metadata or {}
                if (expires_at := metadata.get("expiresAt")) is not None and expires_at <= now():
                    raise Forbidden("token", text="Token has expired")
                granted: CertificatesPost = metadata["request"]
                name = granted.name or wanted.name
                return msgspec.structs.replace(granted, name=name, certificate=wanted.certificate)
        raise Forbidden("token", text="No matching certificate add operation found")

    def _watch(self, identity: str, expires_at: datetime) -> None:
        """End a token when it is too old. A timer cannot be very long, and clocks are set: it looks now and then."""
        if all(one.id != identity for one in self._operations.tokens(DESCRIPTION)):
            return
        left_s = (expires_at - now()).total_seconds()
        if left_s <= 0:
            self._operations.cancel(identity)
        else:
            get_running_loop().call_later(min(left_s, LONGEST_TIMER_S), self._watch, identity, expires_at)


def _decoded(text: str) -> CertificateAddToken | None:
    try:
        token = msgspec.json.decode(base64.b64decode(text.translate(NO_LINES), validate=True), type=CertificateAddToken)
    except (binascii.Error, ValueError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return token if token.secret else None
