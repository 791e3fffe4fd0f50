"""Running commands in instances. Source: LXD, POST /1.0/instances/<name>/exec and its websockets.

Data travels in binary frames and ends with an empty text frame. A program starts when its websockets are there.
"""

import asyncio
import json
import os
import signal
import struct
import termios
from collections.abc import Mapping
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

from lightervisor.config.names import volume_name
from lightervisor.errors import Failure, Invalid
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.pumps import close_all, pump_in, pump_out
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.exec import InstanceExecPost
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Channel, Operations, Run
from lightervisor.runtime.containers import Attached, Containers

CONNECT_S = 5
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Execution:
    """Starts commands, each an operation."""

    def __init__(self, catalog: Catalog, boot: Boot, operations: Operations, events: Events) -> None:
        self._catalog, self._boot, self._operations, self._events = catalog, boot, operations, events

    def run(
        self, project: str, name: str, post: InstanceExecPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start a command. Raises NotFound, and Invalid with LXD's texts when the instance does not run."""
        row = self._catalog.row(project, name)
        status = self._catalog.status(project, name)
        if status != "Running":
            text = "Instance is frozen" if status == "Frozen" else "Instance is not running"
            raise Invalid("instance", name, text=text, remedy=f"lxc start {name}" if status == "Stopped" else "")
        if not post.command:
            raise Invalid("exec", text="No command provided")
        environment = _environment(post, self._catalog.expand(row).config)
        owner = _root(self._boot, self._catalog.expand(row).config)
        session = _Session(self._boot.containers, volume_name(project, name), post, environment, owner)

        async def work(run: Run) -> None:
            source = f"/1.0/instances/{name}"
            context = {"command": post.command}
            self._events.lifecycle("instance-exec", source, project=project, context=context, requestor=requestor)
            if post.wait_for_websocket:
                run.update(**{"return": await session.run_connected()})
                return
            directory = self._boot.log_directory(project, name) if post.record_output else None
            status = await session.run_alone(directory, run.id)
            output = {
                fd: f"/1.0/instances/{name}/logs/exec_{run.id}.{stream}"
                for fd, stream in (("1", "stdout"), ("2", "stderr"))
            }
            run.update(**{"return": status}, **({"output": output} if directory else {}))

        sockets = (
            () if not post.wait_for_websocket else ("0", "control") if post.interactive else ("0", "1", "2", "control")
        )
        return self._operations.start(
            "Executing command",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{name}"], "containers": [f"/1.0/containers/{name}"]},
            metadata={"command": post.command, "environment": environment, "interactive": post.interactive},
            sockets=sockets,
            connect=session.connect,
        )


def _root(boot: Boot, config: Mapping[str, str]) -> tuple[int, int]:
    idmap = boot.idmap_of(config)
    return (0, 0) if idmap is None else (idmap.host_root, idmap.host_root_gid)


def _environment(post: InstanceExecPost, config: Mapping[str, str]) -> dict[str, str]:
    found = {key.removeprefix("environment."): value for key, value in config.items() if key.startswith("environment.")}
    found |= post.environment
    found.setdefault("PATH", SEARCH)
    found.setdefault("LANG", "C.UTF-8")
    if post.user == 0:
        found.setdefault("HOME", "/root")
        found.setdefault("USER", "root")
    return found


class _Session:
    """One command, its streams and its websockets."""

    def __init__(
        self,
        containers: Containers,
        container: str,
        post: InstanceExecPost,
        environment: Mapping[str, str],
        root: tuple[int, int],
    ) -> None:
        self._containers, self._container, self._post = containers, container, post
        self._environment, self._root = environment, root
        self._channels: dict[str, Channel] = {}
        self._connected = asyncio.Event()
        self._finished = asyncio.Event()
        self._needed = {"0", "control"} if post.interactive else {"0", "1", "2"}

    async def connect(self, name: str, channel: Channel) -> None:
        """A client brought a websocket: keep it until the command has ended."""
        self._channels[name] = channel
        if self._needed <= self._channels.keys():
            self._connected.set()
        await self._finished.wait()

    async def run_connected(self) -> int:
        """Wait for the websockets, run the command, and return its status."""
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._connected.wait()
            except TimeoutError as error:
                raise Failure("exec", text="Timed out waiting for websockets to connect") from error
            return await (self._run_on_terminal() if self._post.interactive else self._run_on_pipes())
        finally:
            self._finished.set()

    async def _attach(self, fds: tuple[int, int, int]) -> Attached:
        return await self._containers.attach(
            self._container,
            self._post.command,
            fds=fds,
            env=self._environment,
            cwd=self._post.cwd or self._environment.get("HOME", "/"),
            ids=(self._post.user, self._post.group),
        )

    async def _run_on_pipes(self) -> int:
        (stdin, feed), (drain_out, stdout), (drain_err, stderr) = os.pipe(), os.pipe(), os.pipe()
        try:
            program = await self._attach((stdin, stdout, stderr))
        except BaseException:
            close_all(feed, drain_out, drain_err)
            raise
        finally:
            close_all(stdin, stdout, stderr)
        control = asyncio.create_task(self._control(program, None))
        reader = asyncio.create_task(pump_in(self._channels["0"], feed))
        writers = [
            asyncio.create_task(pump_out(fd, self._channels[name])) for name, fd in (("1", drain_out), ("2", drain_err))
        ]
        try:
            status = await program.wait()
            await asyncio.wait(writers, timeout=1)
        finally:
            for task in (control, reader, *writers):
                task.cancel()
            await asyncio.gather(control, reader, *writers, return_exceptions=True)
        with suppress(ConnectionError):
            for name in ("1", "2"):
                await self._channels[name].send("")
        return status

    async def _run_on_terminal(self) -> int:
        size = (self._post.width or 80, self._post.height or 25)
        owner = (self._root[0] + self._post.user, self._root[1] + self._post.group)
        master, slave = await self._containers.open_pty(self._container, owner, size)
        try:
            program = await self._attach((slave, slave, slave))
        except BaseException:
            close_all(master)
            raise
        finally:
            close_all(slave)
        control = asyncio.create_task(self._control(program, master))
        reader = asyncio.create_task(pump_in(self._channels["0"], os.dup(master)))
        writer = asyncio.create_task(pump_out(master, self._channels["0"]))
        try:
            status = await program.wait()
            await asyncio.wait([writer], timeout=1)
        finally:
            for task in (control, reader, writer):
                task.cancel()
            await asyncio.gather(control, reader, writer, return_exceptions=True)
        with suppress(ConnectionError):
            await self._channels["0"].send("")
        return status

    async def _control(self, program: Attached, terminal: int | None) -> None:
        """Obey window sizes and signals; a control websocket that closes ends the program."""
        channel = self._channels.get("control")
        if channel is None:
            return
        while (frame := await channel.receive()) is not None:
            with suppress(ValueError, KeyError, TypeError, OSError):
                message = json.loads(frame)
                if message["command"] == "signal":
                    program.send(int(message["signal"]))
                elif message["command"] == "window-resize" and terminal is not None:
                    width, height = int(message["args"]["width"]), int(message["args"]["height"])
                    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        program.send(signal.SIGKILL)

    async def run_alone(self, directory: Path | None, operation: str) -> int:
        """Run without a client, with output to the log directory or to nowhere."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        fds = [null, null, null]
        if directory is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            for index, stream in ((1, "stdout"), (2, "stderr")):
                fds[index] = os.open(directory / f"exec_{operation}.{stream}", flags, 0o600)
        try:
            program = await self._attach((fds[0], fds[1], fds[2]))
        finally:
            close_all(*set(fds))
        return await program.wait()
