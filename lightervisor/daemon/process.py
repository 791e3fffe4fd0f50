"""The daemon's life: named stages of start and stop.

The spawner is forked before the first thread. The socket listens early and answers 503 until all is ready;
systemd's has a queue in which clients wait instead.
Stopping the daemon leaves containers running; only `lxd shutdown` and SIGPWR (the host goes down) stop them.
"""

import argparse
import asyncio
import contextlib
import gc
import grp
import logging
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from lightervisor.daemon import guard, logs, systemd
from lightervisor.daemon.options import Paths
from lightervisor.daemon.parts import Parts
from lightervisor.daemon.wiring import wire
from lightervisor.errors import Invalid
from lightervisor.kernel import inheritance
from lightervisor.runtime.spawner import Spawner

log = logging.getLogger(__name__)
WORKERS = 32
"""Threads for what blocks, made as they are needed: some of it takes minutes, and must not hold up the rest."""


def run_daemon(options: argparse.Namespace, paths: Paths) -> int:
    """Run the daemon until it is told to stop; the exit status. Raises Conflict when it may not start here."""
    guard.refuse_foreign_state(paths.state)
    group = _group_id(options.group)
    os.umask(0o022)
    paths.state.mkdir(parents=True, exist_ok=True)
    paths.state.chmod(0o711)
    for private in (paths.logs, paths.state / "database", paths.state / "security"):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)  # a configuration may hold passwords
    lock = guard.take_over(paths.state, is_socket_ours=systemd.is_socket_given())
    logs.configure(debug=options.debug, verbose=options.verbose, logfile=options.logfile)
    inheritance.reset_signals(keep=[signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ])  # nohup's, and Python's own two
    files = max(inheritance.open_files(), inheritance.MOST_FILES)
    spawner = Spawner.launch()  # before the limit is raised: containers get the one that was set for the daemon
    inheritance.limit_open_files(files)
    try:
        uvloop.run(_live(paths, group, spawner))
    finally:
        os.close(lock)
    return 0


def _group_id(name: str | None) -> int:
    if not name:
        return -1
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise Invalid("group", name, cause="there is no such group", remedy=f"groupadd --system {name}") from error


async def _live(paths: Paths, group: int, spawner: Spawner) -> None:
    workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="worker")
    asyncio.get_running_loop().set_default_executor(workers)
    stop = asyncio.get_running_loop().create_future()
    _listen_to_signals(stop)
    async with wire(paths, spawner, lambda force: _end(stop, "forced shutdown" if force else "shutdown")) as parts:
        listener, is_ours = _listener(paths.socket, group)
        if not is_ours:
            await parts.recover()  # who woke us waits in systemd's queue, and is not told to come again
        async with parts.server.serving(listener):
            try:
                if is_ours:
                    await parts.recover()
                for listener_of in (parts.network_api, parts.metrics_api):
                    await listener_of.start(parts.server_config.all())
                parts.server.ready()
                gc.collect()
                gc.freeze()
                log.info("ready on %s", paths.socket)
                systemd.notify("READY=1")
                works = [asyncio.create_task(parts.autostart.run()), asyncio.create_task(parts.tidy())]
                works.append(asyncio.create_task(parts.upkeep.run()))
                works.append(asyncio.create_task(parts.snapshot_schedule.run()))
                works.append(asyncio.create_task(parts.backup_expiry.run()))
                works.append(asyncio.create_task(parts.volume_schedule.run()))
                works.append(asyncio.create_task(parts.guest_server.run()))
                works.append(asyncio.create_task(parts.hotplug.run()))
                reason = await stop
                for work in works:
                    work.cancel()
                await _wind_down(parts, reason)
            finally:
                if is_ours:
                    with contextlib.suppress(FileNotFoundError):
                        paths.socket.unlink()


async def _wind_down(parts: Parts, reason: str) -> None:
    systemd.notify("STOPPING=1")
    parts.server.stopping()
    if reason != "stop":
        await parts.stop_instances(force=reason == "forced shutdown")
    await parts.finish()


def _end(stop: "asyncio.Future[str]", reason: str) -> None:
    if not stop.done():
        stop.set_result(reason)


def _listen_to_signals(stop: "asyncio.Future[str]") -> None:
    """As LXD: SIGPWR stops the instances too; SIGTERM, SIGINT and SIGQUIT leave them running."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, _end, stop, "stop")
    loop.add_signal_handler(signal.SIGPWR, _end, stop, "shutdown")


def _listener(path: Path, group: int) -> tuple[socket.socket, bool]:
    """The API's socket, and whether it is ours: systemd's when it gave one."""
    if (given := systemd.given_socket()) is not None:
        return given, False
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, -1, group)
    path.chmod(0o660)
    listener.listen(1024)
    return listener, True
