"""Secrets that open one image once: to fetch it from here, or to bring it here. Source: LXD, "Image download token"."""

import secrets
from collections.abc import Mapping
from typing import Any

from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Operations

DESCRIPTION = "Image download token"


class Secrets:
    """Each is a token among the operations; it does not outlive the daemon, and cancelling it takes it back."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def offer(self, fingerprint: str, project: str, metadata: Mapping[str, Any] | None = None) -> Operation:
        """A new secret for an image; `metadata` is what is to be done with one that is brought."""
        resources = {"images": [_url(fingerprint)]}
        return self._operations.add_token(DESCRIPTION, project=project, resources=resources, metadata=metadata)

    def find(self, fingerprint: str, project: str, secret: str) -> Operation | None:
        """The token of a secret, None when it opens nothing: looking at an image does not use it up."""
        for token in self._operations.tokens(DESCRIPTION):
            known = str((token.metadata or {}).get("secret", ""))
            is_right = secrets.compare_digest(known.encode(), secret.encode())
            if is_right and _url(fingerprint) in (token.resources or {}).get("images", []):
                return token if self._operations.project_of(token.id) == project else None
        return None

    def use(self, fingerprint: str, project: str, secret: str) -> Operation | None:
        """As `find`, and the secret is used up."""
        if (token := self.find(fingerprint, project, secret)) is not None:
            self._operations.cancel(token.id)
        return token


def _url(fingerprint: str) -> str:
    return f"/1.0/images/{fingerprint}"
