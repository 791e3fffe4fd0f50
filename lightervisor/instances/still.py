"""Holding a running instance still for the moment in which its files are copied. Source: the cgroup freezer."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.errors import HostError
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.kernel import cgroup
from lightervisor.storage.driver import Still

PATIENCE_S = 10.0
log = logging.getLogger(__name__)


async def let_go(boot: Boot, catalog: Catalog, project: str, name: str) -> None:
    """Undo that an instance is held still, unless it may run on another server. Raises Failure when it has ended."""
    if HANDED_OVER not in catalog.row(project, name).config:
        await boot.containers.unfreeze(boot.container_name(project, name))


def still_of(boot: Boot, catalog: Catalog, project: str, name: str) -> Still | None:
    """What holds an instance still; None for one that does not run, or is frozen already."""
    container = boot.container_name(project, name)
    if boot.containers.init_pid(container) is None or catalog.status(project, name) == "Frozen":
        return None
    return lambda: _still_then(boot, container)


@contextmanager
def _still_then(boot: Boot, container: str) -> Generator[None, None, None]:
    """It may have been started anew since."""
    pid = boot.containers.init_pid(container)
    if pid is None:
        yield
        return
    with held_still(pid, container):
        yield


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
