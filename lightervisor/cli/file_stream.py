"""An instance's SFTP as a plain socket, for programs that speak it themselves: sshfs, SSH clients."""

from __future__ import annotations

import os

from lightervisor.cli.errors import CommandError
from lightervisor.client import sftp
from lightervisor.client.light import url
from lightervisor.client.light_websocket import is_would_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Socket, Wire

_BLOCK = 256 << 10


def opened(server: Server, name: str) -> Wire:
    """A connection that speaks SFTP in an instance. Raises CommandError when the server has none."""
    wire = sftp.open_wire(server, url("instances", name, "sftp"))
    if wire is None:
        raise CommandError("The server has no SFTP", "use lxc file pull and push")
    return wire


def plain_end(wire: Wire) -> int:
    """The connection as the descriptor of a socket without TLS; a thread carries the bytes when there is TLS."""
    if wire.is_local:
        end = os.dup(wire.socket.fileno())
        wire.close()
        return end
    import socket
    import threading

    ours, theirs = socket.socketpair()
    threading.Thread(target=_carry, args=(wire, ours), daemon=True).start()
    return theirs.detach()


def _carry(wire: Wire, ours: Socket) -> None:
    """Carry bytes both ways until one side ends."""
    import select

    wire.socket.setblocking(False)
    ours.setblocking(False)
    up, down = bytearray(), bytearray(wire.buffer)
    poll = select.poll()
    try:
        while True:
            # TLS may have decrypted more than was asked for, which no poll tells of.
            while len(down) < _BLOCK and (data := _received(wire.socket)) is not None:
                if not data:
                    return
                down += data
            while len(up) < _BLOCK and (data := _received(ours)) is not None:
                if not data:
                    return
                up += data
            _flush(ours, down)
            _flush(wire.socket, up)
            poll.register(wire.socket.fileno(), _events(reads=len(down) < _BLOCK, writes=bool(up)))
            poll.register(ours.fileno(), _events(reads=len(up) < _BLOCK, writes=bool(down)))
            poll.poll()
    except OSError:
        return
    finally:
        ours.close()
        wire.close()


def _events(*, reads: bool, writes: bool) -> int:
    import select

    return (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)


def _received(socket: Socket) -> bytes | None:
    """What has arrived, empty at the end, None when nothing has."""
    try:
        return socket.recv(_BLOCK)
    except OSError as error:
        if is_would_block(error):
            return None
        raise


def _flush(socket: Socket, data: bytearray) -> None:
    while data:
        try:
            sent = socket.send(bytes(data[:_BLOCK]))
        except OSError as error:
            if is_would_block(error):
                return
            raise
        del data[:sent]
