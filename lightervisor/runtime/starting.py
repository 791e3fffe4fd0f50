"""A start of a container, done by a child of the spawner that is known before it begins."""

import os
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup, pidfd
from lightervisor.runtime import failures
from lightervisor.runtime.notes import Note, Notes, Process, end_failed
from lightervisor.runtime.settings import seccomp
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec


async def spawn(spawner: Spawner, notes: Notes, lxcpath: str, spec: ContainerSpec, config: Path) -> list[Path]:
    """Have the spawner start it, noting the process that does before it begins; the monitor's cgroups.

    Raises HostError with the reason from liblxc's log, which is beside the configuration.
    """
    outcome, groups = await _spawned(spawner, notes, lxcpath, spec, config)
    if outcome != 0:
        await end_failed(lxcpath, spec.name, groups)
        raise HostError("instance", spec.hostname, text=failures.explain(spec, spec.log_dir / "lxc.log", outcome))
    return groups


async def _spawned(
    spawner: Spawner, notes: Notes, lxcpath: str, spec: ContainerSpec, config: Path
) -> tuple[int, list[Path]]:
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
