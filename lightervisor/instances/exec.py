"""Running commands in instances. Source: LXD, POST /1.0/instances/<name>/exec; texts compared with LXD 5.0.2."""

from collections.abc import Mapping

from lightervisor.config.names import volume_name
from lightervisor.errors import Invalid
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog, check_running
from lightervisor.instances.exec_places import SEARCH, Places
from lightervisor.instances.exec_session import Session, check_status
from lightervisor.instances.guest_root import open_running
from lightervisor.kernel import cgroup_moves
from lightervisor.kernel.idmap import host_id
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.exec import InstanceExecPost
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Operations, Run
from lightervisor.runtime.settings.environment import of_commands


class Execution:
    """Starts commands, each an operation."""

    def __init__(self, catalog: Catalog, boot: Boot, operations: Operations, events: Events) -> None:
        self._catalog, self._boot, self._operations, self._events = catalog, boot, operations, events
        self._places = Places()

    async def run(
        self, project: str, name: str, post: InstanceExecPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start a command. Raises NotFound, and Invalid with LXD's texts when the instance does not run."""
        row = self._catalog.row(project, name)
        _check(post)
        check_running(self._catalog, project, name)
        cgroup_moves.expect()
        environment, owner = await self._prepare(project, name, post, self._catalog.expand(row).config)
        session = Session(self._boot.containers, volume_name(project, name), post, environment, owner)

        async def work(run: Run) -> None:
            self._events.happened("instance", "exec", name, project, requestor, {"command": post.command})
            if post.wait_for_websocket:
                status = await session.run_connected()
                run.update(**{"return": status})
            else:
                directory = self._boot.log_directory(project, name) if post.record_output else None
                status = await session.run_alone(directory, run.id)
                output = _recorded(name, run.id) if post.record_output else {}
                run.update(**{"return": status}, **output)
            check_status(status)

        return self._operations.start(
            "Executing command",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            metadata={"command": post.command, "environment": environment, "interactive": post.interactive},
            sockets=session.sockets.names if post.wait_for_websocket else (),
            connect=session.sockets.connect,
        )

    async def _prepare(
        self, project: str, name: str, post: InstanceExecPost, config: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[int, int]]:
        """The environment, and the host's ids of the user, who gets the terminal. Raises Invalid."""
        container = volume_name(project, name)
        pid = self._boot.containers.init_pid(container)
        root = None if pid is None else open_running(pid, container)
        if root is None:
            raise Invalid("instance", name, text="Instance is not running", remedy=f"lxc start {name}")
        with root:
            owner = (host_id(root.idmap, post.user, "uid"), host_id(root.idmap, post.group, "gid"))
            environment = _environment(post, config)
            if "PATH" not in environment:
                environment["PATH"] = ":".join([SEARCH, *await self._places.of(container, root.descriptor)])
            return environment, owner


def _check(post: InstanceExecPost) -> None:
    if not post.command:
        raise Invalid("exec", text="No command provided")
    if any("\0" in word for word in (*post.command, *post.environment, *post.environment.values(), post.cwd)):
        raise Invalid("exec", cause="a command cannot have zero bytes in it")
    for field, is_set in (("wait-for-websocket", post.wait_for_websocket), ("interactive", post.interactive)):
        if post.record_output and is_set:
            first, second = ("record-output", field) if field[0] == "w" else (field, "record-output")
            raise Invalid("exec", text=f'Cannot use "{first}" in combination with "{second}"')


def _environment(post: InstanceExecPost, config: Mapping[str, str]) -> dict[str, str]:
    found = {**of_commands(config), **post.environment}
    found.setdefault("LANG", "C.UTF-8")
    if post.user == 0:
        found.setdefault("HOME", "/root")
        found.setdefault("USER", "root")
    return found


def _recorded(name: str, operation: str) -> dict[str, dict[str, str]]:
    streams = (("1", "stdout"), ("2", "stderr"))
    return {"output": {fd: f"/1.0/instances/{name}/logs/exec_{operation}.{stream}" for fd, stream in streams}}
