"""What the daemon runs containers with: the facts of this host, confinement, the engine."""

import os
from pathlib import Path

from lightervisor.instances import stateful
from lightervisor.instances.boot import Boot
from lightervisor.instances.stateful import Stateful
from lightervisor.operations.journal import Journal
from lightervisor.runtime import lxcfs
from lightervisor.runtime.confinement import Confinement
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import HostFacts


def containers_of(spawner: Spawner, state: Path, boot: Boot) -> Containers:
    """The runtime engine on this host, which tells `boot` of exits."""
    facts = _host_facts()
    confinement = Confinement(spawner, state, has_apparmor=facts.has_apparmor)
    return Containers(spawner, state / "containers", facts, confinement, boot.on_exit)


def memory_of(journal: Journal, memory: Stateful) -> Stateful:
    """What keeps and brings back the memory of instances, with what finishes or undoes it."""
    journal.register(stateful.UNDO, memory.undo)
    journal.register(stateful.UNDO_START, memory.undo_start)
    return memory


def _host_facts() -> HostFacts:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return HostFacts(
        has_apparmor=Path("/sys/kernel/security/apparmor/profiles").exists(),
        lxcfs=lxcfs.ensure(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=memory,
    )
