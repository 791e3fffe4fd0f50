"""`lxc exec`: a command in an instance, with our terminal or our three streams."""

from __future__ import annotations

import os

from lightervisor.cli import pairs, terminal
from lightervisor.cli.errors import CommandError
from lightervisor.cli.signals import signal
from lightervisor.client import light_operations
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_websocket import WebSocket

# Without a guest's terminal between them, these reach the command as signals instead of keys.
_FORWARDED = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGABRT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)


def run(session: Session, arguments: list[str], flags: Flags) -> int:
    """Run a command and return its exit status."""
    server, name = session.resolve_name(arguments[0])
    is_interactive = _is_interactive(flags)
    width, height = terminal.size() if is_interactive else (0, 0)
    environment = pairs.environment(flags.many("env"))
    if "TERM" not in environment and session.environ.get("TERM"):
        environment["TERM"] = session.environ["TERM"]
    request: dict[str, Any] = {
        "command": arguments[1:],
        "wait-for-websocket": True,
        "interactive": is_interactive,
        "environment": environment,
        "width": width,
        "height": height,
        "user": flags.number("user"),
        "group": flags.number("group"),
        "cwd": flags.text("cwd"),
    }
    operation = server.post(url("instances", name, "exec"), request)["metadata"]
    sockets = _connected(server, operation, is_interactive=is_interactive)
    has_stdin = not flags.on("disable-stdin")
    try:
        if is_interactive:
            with terminal.raw(0):
                _pump(sockets, is_interactive=True, has_stdin=has_stdin)
        else:
            _pump(sockets, is_interactive=False, has_stdin=has_stdin)
        return _status(session, light_operations.wait_for_end(server, operation))
    finally:
        for socket in sockets.values():
            socket.close()


def _status(session: Session, operation: dict[str, Any]) -> int:
    """The command's exit status, also where the operation failed because of it (127: not found)."""
    status = int(as_map(operation.get("metadata")).get("return", 0))
    if status > 0 and operation.get("err"):
        session.warn(f"Error: {operation['err']}")
        return status
    light_operations.check(operation)
    return status


def _is_interactive(flags: Flags) -> bool:
    mode = flags.text("mode")
    if flags.on("force-interactive") and flags.on("force-noninteractive"):
        raise CommandError("You can't pass -t and -T at the same time")
    if mode != "auto" and (flags.on("force-interactive") or flags.on("force-noninteractive")):
        raise CommandError("You can't pass -t or -T at the same time as --mode")
    if mode not in ("auto", "interactive", "non-interactive"):
        raise CommandError(f'Invalid mode "{mode}"', "it is auto, interactive or non-interactive")
    if flags.on("force-interactive") or mode == "interactive":
        return True
    if flags.on("force-noninteractive") or mode == "non-interactive" or flags.on("disable-stdin"):
        return False
    return os.isatty(0) and os.isatty(1)


def _signals_to(control: WebSocket) -> Callable[[int], None]:
    """A handler that passes a signal on to the command."""
    return lambda number: terminal.send_control(control, {"command": "signal", "signal": number})


def _connected(server: Server, operation: dict[str, Any], *, is_interactive: bool) -> dict[str, WebSocket]:
    """The command's streams by LXD's names: `control`, and 0 to 2, or 0 alone for a terminal."""
    secrets: dict[str, str] = operation["metadata"]["fds"]
    names = ("control", "0") if is_interactive else ("control", "0", "1", "2")
    path = ("operations", light_operations.identifier(operation), "websocket")
    return {name: server.websocket(url(*path, secret=secrets[name])) for name in names if name in secrets}


def _pump(sockets: dict[str, WebSocket], *, is_interactive: bool, has_stdin: bool) -> None:
    """Move bytes until the command has ended its output."""
    control, pump = sockets["control"], terminal.Pump()
    pump.attend(control)
    try:
        if is_interactive:
            pump.show(sockets["0"], 1)
            pump.on_signals({signal.SIGWINCH: lambda _number: terminal.resize(control)})
        else:
            pump.show(sockets["1"], 1)
            pump.show(sockets["2"], 2)
            pump.on_signals(dict.fromkeys(_FORWARDED, _signals_to(control)))
        if has_stdin:
            pump.forward(0, sockets["0"], ends=not is_interactive)
        else:
            sockets["0"].send_text("")
        pump.run()
    finally:
        for socket in sockets.values():
            socket.finish()
