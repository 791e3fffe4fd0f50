"""The progress line of a running operation, and Ctrl-C while one is waited for."""

from __future__ import annotations

import sys

from lightervisor.cli import terminal
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_operations
from lightervisor.client.light import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.client.light import Server


class Line:
    """One line of a terminal, rewritten in place (on standard output, as LXD's)."""

    def __init__(self, label: str, *, is_shown: bool) -> None:
        self.label, self.is_shown, self._width = label, is_shown, 0

    def show(self, text: str) -> None:
        """Replace what the line says; an empty text changes nothing."""
        if not self.is_shown or not text:
            return
        line = f"{self.label}: {text}" if self.label else text
        # A line that wraps cannot be rewritten; its end says how far it is.
        if (columns := terminal.size()[0]) and len(line) >= columns:
            line = "…" + line[len(line) - columns + 2 :]
        sys.stdout.write("\r" + line.ljust(self._width))
        sys.stdout.flush()
        self._width = len(line)

    def done(self) -> None:
        """Wipe the line, so that the next output starts where it began."""
        if self._width:
            sys.stdout.write("\r" + " " * self._width + "\r")
            sys.stdout.flush()
            self._width = 0


def wait(server: Server, operation: dict[str, Any], line: Line) -> dict[str, Any]:
    """Wait for an operation; the first Ctrl-C asks the server to cancel it, a second one ends the program."""
    is_cancelled = False
    while True:
        try:
            if line.is_shown:
                return light_operations.watch(server, operation, line.show)
            return light_operations.wait(server, operation)
        except KeyboardInterrupt:
            if is_cancelled:
                raise
            is_cancelled = True
            server.close()
            _cancel(server, operation)
        except ApiError as error:
            if is_cancelled:
                raise CommandError("Remote operation canceled by user") from error
            raise
        finally:
            line.done()


def _cancel(server: Server, operation: dict[str, Any]) -> None:
    try:
        light_operations.cancel(server, operation)
    except ApiError as error:
        print(f"{error.message()} (interrupt once more to leave; the operation goes on)", file=sys.stderr)
