"""One command in a container: its streams, its websockets, its end. Source: LXD, exec."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lightervisor.errors import Failure
from lightervisor.instances import terminals
from lightervisor.instances.pumps import Ended, close_all, gone, pipe, pump_in, pump_out
from lightervisor.instances.sockets import Sockets
from lightervisor.model.exec import InstanceExecPost
from lightervisor.runtime.attached import Attached
from lightervisor.runtime.containers import Containers

FAILURES = {126: "Command not executable", 127: "Command not found"}


def check_status(status: int) -> None:
    """Raise Failure with LXD's text for the statuses that say that there was no program to run."""
    if status in FAILURES:
        raise Failure("exec", text=FAILURES[status])


class Session:
    """A command to run once; `owner` is who gets its terminal, as ids of the host."""

    def __init__(
        self,
        containers: Containers,
        container: str,
        post: InstanceExecPost,
        environment: Mapping[str, str],
        owner: tuple[int, int],
    ) -> None:
        self._containers, self._container, self._post = containers, container, post
        self._environment, self._owner = environment, owner
        if post.interactive:
            self.sockets = Sockets(("0", "control"))
        else:  # old clients bring no control
            self.sockets = Sockets(("0", "1", "2", "control"), optional=["control"])

    async def run_connected(self) -> int:
        """Wait for the websockets, run the command, and return its status."""
        async with self.sockets.connected():
            return await (self._run_on_terminal() if self._post.interactive else self._run_on_pipes())

    async def run_alone(self, directory: Path | None, operation: str) -> int:
        """Run without a client, with output to the log directory or to nowhere."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        fds = [null, null, null]
        try:
            if directory is not None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                for index, stream in ((1, "stdout"), (2, "stderr")):
                    fds[index] = os.open(directory / f"exec_{operation}.{stream}", flags, 0o600)
            program = await self._attach((fds[0], fds[1], fds[2]))
        finally:
            close_all(*set(fds))
        return await program.wait()

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
        (stdin, feed), (output, stdout), (errors, stderr) = pipe(), pipe(), pipe()
        try:
            program = await self._attach((stdin, stdout, stderr))
        except BaseException:
            close_all(feed, output, errors)
            raise
        finally:
            close_all(stdin, stdout, stderr)
        ended: Ended = asyncio.get_running_loop().create_future()
        outputs = [
            asyncio.create_task(pump_out(output, self.sockets["1"], ended)),
            asyncio.create_task(pump_out(errors, self.sockets["2"], ended)),
        ]
        others = [
            asyncio.create_task(self._feed(feed)),
            asyncio.create_task(self._control(program, None)),
            asyncio.create_task(self._notice_absence(program)),
        ]
        return await self._finish(program, ended, outputs, others, ("1", "2"))

    async def _run_on_terminal(self) -> int:
        size = (self._post.width, self._post.height)
        if not all(0 < one <= terminals.LARGEST for one in size):
            size = (0, 0)
        master, slave = await self._containers.open_pty(self._container, self._owner, size)
        try:
            program = await self._attach((slave, slave, slave))
        except BaseException:
            close_all(master)
            raise
        finally:
            close_all(slave)
        ended: Ended = asyncio.get_running_loop().create_future()
        outputs = [asyncio.create_task(pump_out(os.dup(master), self.sockets["0"], ended))]
        others = [
            asyncio.create_task(self._feed(os.dup(master))),
            asyncio.create_task(self._control(program, master)),
        ]
        try:
            return await self._finish(program, ended, outputs, others, ("0",))
        finally:
            os.close(master)

    async def _finish(
        self,
        program: Attached,
        ended: Ended,
        outputs: list[asyncio.Task[None]],
        others: list[asyncio.Task[None]],
        names: tuple[str, ...],
    ) -> int:
        """Wait for the command and for what it has written to be sent, then say that nothing more comes."""
        try:
            status = await program.wait()
            ended.set_result(None)
            await asyncio.wait(outputs)
        finally:
            tasks = (*outputs, *others)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for name in names:
            with suppress(ConnectionError):
                await self.sockets[name].send("")
        return status

    async def _feed(self, descriptor: int) -> None:
        await pump_in(self.sockets["0"], descriptor)

    async def _control(self, program: Attached, terminal: int | None) -> None:
        """Obey window sizes and signals; a control websocket that closes ends the program."""
        channel = await self.sockets.arrival("control")
        while (frame := await channel.receive()) is not None:
            control = terminals.message(frame)
            if control is None:
                continue
            if control.command == "signal":
                with suppress(OSError):
                    program.send(control.signal)
            elif terminal is not None:
                terminals.obey(control, terminal)
        program.send(signal.SIGKILL)

    async def _notice_absence(self, program: Attached) -> None:
        """Without a control websocket, one for output that closes tells that the client has gone."""
        await gone(self.sockets["1"])
        if not self.sockets.has("control"):
            program.send(signal.SIGKILL)
