"""Who asks: the one fact about a request that every decision on access starts from.

There are four levels. A guest is anybody who reaches the network listener; a client of the unix socket is always an
administrator. Source: LXD REST API, authentication and authorization.
"""

import enum
from dataclasses import dataclass

from lightervisor.errors import Forbidden
from lightervisor.model.event import EventLifecycleRequestor


class Level(enum.Enum):
    """How far a caller is trusted."""

    GUEST = "guest"
    METRICS = "metrics"  # a guest who may read the metrics
    RESTRICTED = "restricted"  # trusted, within some projects
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """One who asks.

    `projects` counts for a restricted caller only; `fingerprint` is empty on the unix socket and for a guest who showed
    no certificate.
    """

    level: Level
    requestor: EventLifecycleRequestor
    is_local: bool = False
    projects: frozenset[str] = frozenset()
    fingerprint: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether this caller may do everything."""
        return self.level is Level.ADMIN

    @property
    def is_trusted(self) -> bool:
        """Whether this caller is in the trust store, or on the unix socket."""
        return self.level in (Level.ADMIN, Level.RESTRICTED)

    def may_enter(self, project: str) -> bool:
        """Whether this caller may see and change what is in a project; "" stands for the server itself."""
        return self.is_admin or (self.level is Level.RESTRICTED and project in self.projects)

    @property
    def sees_projects(self) -> frozenset[str] | None:
        """The projects whose events and operations this caller sees; None for all, and the server's own."""
        return None if self.is_admin else self.projects


def refused() -> Forbidden:
    """The one answer to everything a caller may not do: it says nothing about what there is."""
    return Forbidden("request", text="not authorized")
