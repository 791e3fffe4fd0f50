"""The error family: every failure a user can read names its object, its cause and its remedy.

Raised where the cause is known. `api/errors.py` alone maps it to LXD's codes and texts.
"""

from errno import EDQUOT, ENOSPC


class Failure(Exception):
    """Something a user must be told.

    `text`, when given, is the exact sentence LXD uses; else the sentence is built from object and cause.
    """

    status = 500
    slug = "internal"
    verdict = "failed"

    def __init__(self, kind: str, name: str = "", *, cause: str = "", remedy: str = "", text: str = "") -> None:
        self.kind, self.name, self.cause, self.remedy, self.text = kind, name, cause, remedy, text
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """One line for a person: LXD's own text if there is one, then the cause, without the remedy."""
        if self.text:
            return self.text
        subject = f"{self.kind} {self.name!r}" if self.name else self.kind
        subject = subject[:1].upper() + subject[1:]
        return f"{subject}: {self.cause}" if self.cause else f"{subject} {self.verdict}"

    def message(self) -> str:
        """The sentence with the remedy after it, as clients show it."""
        return f"{self.sentence()} ({self.remedy})" if self.remedy else self.sentence()


class Invalid(Failure):
    """The request cannot be carried out as it is written."""

    status, slug, verdict = 400, "invalid", "is not valid"


class Forbidden(Failure):
    """The caller may not do this."""

    status, slug, verdict = 403, "forbidden", "is not allowed"


class NotFound(Failure):
    """The object does not exist; LXD's text is "<Kind> not found"."""

    status, slug, verdict = 404, "not-found", "not found"

    def sentence(self) -> str:
        """LXD's bare text: clients compare with it."""
        return self.text or f"{self.kind[:1].upper()}{self.kind[1:]} not found"


class Conflict(Failure):
    """The object exists already, is in use or is in another state."""

    status, slug, verdict = 409, "conflict", "is in use"


class PreconditionFailed(Failure):
    """The object changed since the caller read it."""

    status, slug, verdict = 412, "precondition-failed", "has changed meanwhile"


class Unsupported(Failure):
    """This server or host cannot do it at all."""

    status, slug, verdict = 501, "unsupported", "is not supported"


class Unavailable(Failure):
    """Not now: the daemon starts or stops, or a peer is away."""

    status, slug, verdict = 503, "unavailable", "is not available"


class HostError(Failure):
    """The kernel or a tool of the host refused; the cause quotes it."""

    status, slug = 500, "host-error"


def refused_by_host(error: OSError) -> HostError:
    """The failure for an error of the kernel that nobody expected where it was met."""
    where = f" for {error.filename}" if error.filename else ""
    remedy = "free some space; df -h shows where there is none" if error.errno in (ENOSPC, EDQUOT) else ""
    return HostError("host", text=f"The host refused it: {error.strerror or error}{where}", remedy=remedy)
