"""The size of a terminal, and the messages that change it. Source: tty_ioctl(4), LXD's exec and console control."""

import struct
import termios
from contextlib import suppress
from fcntl import ioctl

from lightervisor.errors import Invalid
from lightervisor.model.decode import decode
from lightervisor.model.exec import InstanceExecControl

LARGEST = 65535


def resize(terminal: int, width: int, height: int) -> None:
    """Set the size; what is no size is ignored, as is a terminal that is gone."""
    if 0 < width <= LARGEST and 0 < height <= LARGEST:
        with suppress(OSError):
            ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def message(frame: bytes | str) -> InstanceExecControl | None:
    """A control message, None for what is not one: LXD ignores it too."""
    try:
        return decode(frame if isinstance(frame, bytes) else frame.encode(), InstanceExecControl)
    except Invalid:
        return None


def obey(control: InstanceExecControl, terminal: int) -> None:
    """Change the size if that is what a message asks for."""
    if control.command == "window-resize":
        with suppress(KeyError, ValueError):
            resize(terminal, int(control.args["width"]), int(control.args["height"]))
