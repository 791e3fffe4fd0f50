"""The `lxd` program: the daemon, and the commands that talk to one that runs."""

import argparse
import os
import sys
import time

from lightervisor.client.light import ApiError, Server
from lightervisor.daemon import options as command_line
from lightervisor.daemon.options import VERSION, Paths
from lightervisor.errors import Failure, Forbidden, Unavailable

# A daemon that recovers after a crash takes its time; one that was started a moment ago has its lock much sooner.
_STARTING_S, _RECOVERING_S = 5, 60


def main() -> int:
    """Run `lxd` with the process's arguments; the exit status."""
    options = command_line.parser().parse_args()
    paths = command_line.paths()
    try:
        return _dispatch(options, paths)
    except Failure as failure:
        sys.stderr.write(f"Error: {failure.message()}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _dispatch(options: argparse.Namespace, paths: Paths) -> int:
    match options.command:
        case None:
            if os.geteuid() != 0:
                sys.stderr.write("Error: This must be run as root\n")
                return 1
            from lightervisor.daemon.process import run_daemon

            return run_daemon(options, paths)
        case "version":
            sys.stdout.write(f"{VERSION}\n")
        case "init":
            from lightervisor.daemon.init_command import check_flags, run

            check_flags(options)
            reach(paths)
            run(options, connect(paths), paths.state)
        case "recover":
            from lightervisor.daemon import recover_command

            reach(paths)
            recover_command.run(options, connect(paths), paths.state)
        case "waitready":
            wait_ready(paths, timeout_s=options.timeout)
        case "shutdown":
            shutdown(paths, timeout_s=options.timeout, force=options.force)
        case _:
            from lightervisor.daemon.activation import activate_if_needed

            activate_if_needed(paths)
    return 0


def connect(paths: Paths) -> Server:
    """A client of the daemon that serves this state directory."""
    from lightervisor.client.light_http import unix_connector

    return Server(unix_connector(str(paths.socket)), name="local")


def reach(paths: Paths) -> None:
    """Wait for a daemon that runs or was just started. Raises Forbidden, or Unavailable where there is none."""
    from lightervisor.daemon import guard

    try:
        wait_ready(paths, timeout_s=_STARTING_S)
    except Unavailable as error:
        if not guard.is_held(paths.state):
            text = f"Failed to connect to local LXD: nothing serves {paths.socket}"
            raise Unavailable("daemon", text=text, remedy="start it (systemctl start lxd), or set LXD_DIR") from error
        wait_ready(paths, timeout_s=_RECOVERING_S)


def wait_ready(paths: Paths, *, timeout_s: float) -> None:
    """Poll until the daemon is ready. Raises Unavailable after the timeout (0 waits for ever), Forbidden at once."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connect(paths).get("/internal/ready")
        except PermissionError as error:
            raise _forbidden(paths) from error
        except (OSError, ApiError, Failure):
            if timeout_s and time.monotonic() >= deadline:
                text = f"LXD still not running after {timeout_s:g}s timeout"
                raise Unavailable("daemon", text=text, remedy="look at its log") from None
            time.sleep(0.05)
        else:
            return


def shutdown(paths: Paths, *, timeout_s: float, force: bool) -> None:
    """Have the daemon stop its instances and end; returns when it has gone. Raises Unavailable."""
    from lightervisor.daemon import guard

    try:
        is_running = guard.is_held(paths.state)
    except PermissionError as error:
        raise _forbidden(paths) from error
    if not is_running:
        raise Unavailable("daemon", text="LXD is not running", remedy=f"no daemon keeps {paths.state}")
    server = connect(paths)
    pidfd = os.pidfd_open(int(server.info()["environment"]["server_pid"]))
    server.put(f"/internal/shutdown?force={'true' if force else 'false'}", {})
    import select

    ready, _, _ = select.select([pidfd], [], [], timeout_s or None)
    if not ready:
        raise Unavailable("daemon", text=f"LXD still running after {timeout_s:g}s timeout")


def _forbidden(paths: Paths) -> Forbidden:
    return Forbidden(
        "daemon",
        text=f"Failed to connect to local LXD: dial unix {paths.socket}: connect: permission denied",
        remedy="run this as root",
    )
