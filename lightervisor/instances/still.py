"""Holding a running instance still for the moment in which its files are copied. Source: the cgroup freezer."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup

PATIENCE_S = 10.0
log = logging.getLogger(__name__)


@contextmanager
def held_still(pid: int, container: str) -> Generator[None, None, None]:
    """No process of the container with this init moves while the context lasts. Blocking, for a worker thread.

    One that ended meanwhile is still. Raises HostError when a process cannot be stopped.
    """
    groups = cgroup.payload(pid, container)
    if groups:
        cgroup.hold(groups, patience_s=PATIENCE_S)
    try:
        yield
    finally:
        if groups:
            _let_go(pid, container)


def _let_go(pid: int, container: str) -> None:
    try:
        if groups := cgroup.payload(pid, container):
            cgroup.set_frozen(groups, frozen=False)
    except HostError as error:
        if cgroup.payload(pid, container):
            raise
        log.info("instance %s ended while it was held still: %s", container, error)
