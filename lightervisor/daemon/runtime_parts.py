"""What the daemon runs containers with: the facts of this host, confinement, the engine."""

import os
from pathlib import Path

from lightervisor.instances.boot import Boot
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


def _host_facts() -> HostFacts:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return HostFacts(
        has_apparmor=Path("/sys/kernel/security/apparmor/profiles").exists(),
        lxcfs=lxcfs.ensure(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=memory,
    )
