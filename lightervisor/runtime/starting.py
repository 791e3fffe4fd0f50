"""A start of a container, done by a child of the spawner that is known before it begins."""

import os
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup, pidfd
from lightervisor.runtime.notes import Note, Notes, Process
from lightervisor.runtime.settings import seccomp
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec


async def spawn(
    spawner: Spawner, notes: Notes, lxcpath: str, spec: ContainerSpec, config: Path
) -> tuple[int, list[Path]]:
    """Have the spawner start it, noting the process that does before it begins.

    The starter's status, and the monitor's cgroups.
    """
    name, what = spec.name, (spec.name, lxcpath, str(config), seccomp.native_only(spec))
    followed = await spawner.follow("start", *what)
    starter, go = followed.first.fds
    try:
        try:
            notes.write(name, Note(starter=Process.of(followed.first.value[1])))
            os.write(go, b"!")
        finally:
            os.close(go)
        try:
            _, status, groups = (await followed.last()).value
            return int(status), cgroup.monitors(cgroup.parse(groups), name)
        except HostError:
            # The spawner was killed; the process that it had start this goes on without it.
            await pidfd.ended(starter)
            state, _ = (await spawner.request("state", name, lxcpath)).value
            if state != "RUNNING":
                raise
            return 0, []
    finally:
        os.close(starter)
