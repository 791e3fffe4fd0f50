"""The user's terminal: raw mode while a guest's is shown in it, its size, and the pump between it and websockets."""

from __future__ import annotations

import os
import select

from lightervisor.cli.signals import signal
from lightervisor.client import light_json
from lightervisor.client.light_websocket import TEXT, WebSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

_BLOCK = 131_072
# Beyond this no more is read from the user until the server has taken some.
_BACKLOG = 1_048_576


class raw:
    """Raw mode of a terminal inside the block; does nothing to what is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd, self._before = fd, list[object]()

    def __enter__(self) -> None:
        if os.isatty(self._fd):
            import termios
            import tty

            self._before = list[object](termios.tcgetattr(self._fd))
            tty.setraw(self._fd, termios.TCSANOW)  # what was typed already counts

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before:
            import termios

            before: Any = self._before
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)


def size() -> tuple[int, int]:
    """Columns and lines of the terminal on standard output; (0, 0) without one."""
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        return 0, 0
    return columns, lines


def send_control(control: WebSocket, command: dict[str, Any]) -> None:
    """Send one command on a control websocket."""
    control.send_text(light_json.dumps(command))


def resize(control: WebSocket) -> None:
    """Tell the guest's terminal the size of ours."""
    columns, lines = size()
    if columns:
        args = {"width": str(columns), "height": str(lines)}
        send_control(control, {"command": "window-resize", "args": args})


class Pump:
    """Moves bytes between descriptors and websockets on one poll loop until every output has ended.

    `forward` feeds a descriptor to a websocket; `show` writes a websocket to a descriptor. LXD ends a stream with an
    empty text message, in both directions.
    """

    def __init__(self) -> None:
        self._inputs: dict[int, tuple[WebSocket, Callable[[bytes], bytes | None], bool]] = {}
        self._outputs: dict[WebSocket, int] = {}
        self._others: list[WebSocket] = []
        self._signals = _SignalPipe()

    def forward(
        self, fd: int, socket: WebSocket, keep: Callable[[bytes], bytes | None] = bytes, *, ends: bool = True
    ) -> None:
        """Send what is read from `fd`; `keep` may change it, or end everything by returning None.

        With `ends` the end of `fd` is told to the server.
        """
        self._inputs[fd] = (socket, keep, ends)
        # Its backlog has to be sent even after the end of `fd`.
        self.attend(socket)

    def show(self, socket: WebSocket, fd: int) -> None:
        """Write what arrives to `fd`."""
        self._outputs[socket] = fd

    def attend(self, socket: WebSocket) -> None:
        """Keep a socket alive (answer its pings, send its backlog) without showing anything."""
        self._others.append(socket)

    def on_signals(self, handlers: dict[int, Callable[[int], None]]) -> None:
        """Call a handler on the loop when its signal comes."""
        self._signals.handle(handlers)

    def run(self) -> None:
        """Until all outputs have ended."""
        try:
            # What came together with the answer to the handshake is read already: no poll would tell of it.
            for socket in {*self._outputs, *self._others}:
                self._from_server(socket)
            self._drop_closed()
            while self._outputs:
                if not self._turn():
                    return
        finally:
            self._signals.close()

    def _turn(self) -> bool:
        poll = select.poll()
        sockets = {s.fileno(): s for s in {*self._outputs, *self._others}}
        for fd, socket in sockets.items():
            if socket.is_open:
                poll.register(fd, socket.interest())
        for fd, (socket, _, _) in self._inputs.items():
            if socket.backlog < _BACKLOG:
                poll.register(fd, select.POLLIN)
        poll.register(self._signals.fd, select.POLLIN)
        for fd, _event in poll.poll():
            if fd in sockets:
                self._from_server(sockets[fd])
            elif fd in self._inputs:
                if not self._from_user(fd):
                    return False
            else:
                self._signals.deliver()
        self._drop_closed()
        return True

    def _drop_closed(self) -> None:
        self._outputs = {socket: fd for socket, fd in self._outputs.items() if socket.is_open}

    def _from_server(self, socket: WebSocket) -> None:
        socket.flush()
        for opcode, payload in socket.available():
            fd = self._outputs.get(socket)
            if fd is None:
                continue
            if opcode == TEXT:
                del self._outputs[socket]
            else:
                _write_all(fd, payload)

    def _from_user(self, fd: int) -> bool:
        socket, keep, ends = self._inputs[fd]
        data = os.read(fd, _BLOCK)
        if not data:
            del self._inputs[fd]
            if ends:
                socket.send_text("")
            return True
        kept = keep(data)
        if kept is None:
            return False
        if kept:
            socket.send(kept)
        return True


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # Somebody made our terminal non-blocking: wait for it instead of losing output.
            select.select([], [fd], [])


class _SignalPipe:
    """Turns signals into something to poll for."""

    def __init__(self) -> None:
        self.fd, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self.fd, False)
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._before: dict[int, Any] = {}

    def handle(self, handlers: dict[int, Callable[[int], None]]) -> None:
        self._handlers.update(handlers)
        for number in handlers:
            self._before[number] = signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._writer)

    def deliver(self) -> None:
        for number in os.read(self.fd, 256):
            if number in self._handlers:
                self._handlers[number](number)

    def close(self) -> None:
        if self._before:
            signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self.fd)
        os.close(self._writer)
