"""Websockets of two servers joined by this client: every frame of the one is sent to the other, in both directions."""

from __future__ import annotations

import select

from lightervisor.cli import progress, transfer
from lightervisor.client.light_websocket import TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.session import Session
    from lightervisor.client.light_websocket import WebSocket

MOST_WAITING = 8 << 20
"""Bytes that wait for the slower side, above which the faster one is not read."""


def relay(session: Session, label: str, pairs: list[tuple[WebSocket, WebSocket]]) -> None:
    """Carry frames between the two of each pair until one side has closed all of its; then all are closed."""
    line = progress.Line(label, is_shown=session.shows_progress())
    meter = transfer.Meter(line, 0)
    other = {one: two for pair in pairs for one, two in (pair, pair[::-1])}
    try:
        _carry(other, meter)
    finally:
        line.done()
        for socket in other:
            socket.close()


def _carry(other: dict[WebSocket, WebSocket], meter: transfer.Meter) -> None:
    by_number = {socket.fileno(): socket for socket in other}
    while any(socket.is_open for socket in other):
        poll = select.poll()
        for number, socket in by_number.items():
            if not socket.is_open:
                continue
            reads = select.POLLIN if other[socket].backlog < MOST_WAITING else 0
            poll.register(number, socket.interest() & ~select.POLLIN | reads)
        for number, events in poll.poll():
            socket = by_number[number]
            if events & select.POLLOUT:
                socket.flush()
            if events & ~select.POLLOUT:
                _pass_on(socket, other[socket], meter)
        for socket, peer in other.items():
            if not socket.is_open and peer.is_open and not peer.backlog:
                peer.close()


def _pass_on(socket: WebSocket, peer: WebSocket, meter: transfer.Meter) -> None:
    for kind, payload in socket.available():
        meter.add(len(payload))
        if peer.is_open:
            peer.send(payload, TEXT if kind == TEXT else kind)
