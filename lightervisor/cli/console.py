"""`lxc console`: the instance's console in our terminal, and its log."""

from __future__ import annotations

import os
import sys

from lightervisor.cli import answers, harmless, terminal
from lightervisor.cli.errors import CommandError
from lightervisor.cli.signals import signal
from lightervisor.client import light_operations
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_CTRL_A = 1


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Attach to the console, or print what it said."""
    server, name = session.resolve_name(arguments[0])
    if flags.on("show-log"):
        log = answers.content(server.request("GET", url("instances", name, "console")))
        text = log.decode(errors="replace")
        session.write(f"\nConsole log:\n\n{harmless.log(text) if os.isatty(1) else text}\n")
        return
    attach(server, name, flags.text("type"))


def attach(server: Server, name: str, kind: str = "console") -> None:
    """Show the console until the user types ctrl-a q or the instance closes it."""
    if kind != "console":
        raise CommandError(f"Unknown output type {kind!r}", "only console is there")
    if not os.isatty(0):
        raise CommandError("inappropriate ioctl for device", "lxc console needs a terminal; see also --show-log")
    width, height = terminal.size()
    request = {"width": width, "height": height, "type": kind}
    operation = server.post(url("instances", name, "console"), request)["metadata"]
    secrets: dict[str, str] = operation["metadata"]["fds"]
    path = ("operations", light_operations.identifier(operation), "websocket")
    data, control = (server.websocket(url(*path, secret=secrets[key])) for key in ("0", "control"))
    pump = terminal.Pump()
    pump.attend(control)
    pump.show(data, 1)
    pump.forward(0, data, Detach().keep, ends=False)
    pump.on_signals({signal.SIGWINCH: lambda _number: terminal.resize(control)})
    try:
        with terminal.raw(0):
            print("To detach from the console, press: <ctrl>+a q\r", flush=True)
            pump.run()
    finally:
        data.close()
        control.close()
        sys.stdout.write("\r\n")


class Detach:
    """Watches typed bytes for ctrl-a q; ctrl-a twice is one ctrl-a for the guest."""

    def __init__(self) -> None:
        self._after_escape = False

    def keep(self, data: bytes) -> bytes | None:
        """What the guest gets of typed bytes, or None to detach."""
        kept = bytearray()
        for byte in data:
            if self._after_escape:
                self._after_escape = False
                if byte in b"qQ":
                    return None
                kept.append(_CTRL_A)
                if byte == _CTRL_A:
                    continue
                kept.append(byte)
            elif byte == _CTRL_A:
                self._after_escape = True
            else:
                kept.append(byte)
        return bytes(kept)
