"""`lxc file mount`: the files of an instance in a directory here, by sshfs, or for SSH clients (`file_listen`)."""

from __future__ import annotations

import os
import sys

from lightervisor.cli.errors import CommandError
from lightervisor.client import sftp
from lightervisor.client.light import url
from lightervisor.client.light_websocket import is_would_block

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Socket, Wire

_BLOCK = 256 << 10


def mount(session: Session, arguments: list[str], flags: Flags) -> int:
    """Mount an instance's files until Ctrl-C, or listen for SSH clients; the exit status."""
    server, rest = session.resolve(arguments[0])
    name, _, path = rest.partition("/")
    if not name:
        raise CommandError("Missing instance name")
    target = arguments[1] if len(arguments) > 1 else ""
    if not target:
        from lightervisor.cli import file_listen

        return file_listen.serve(session, server, name, flags)
    if flags.text("listen"):
        raise CommandError("Target path and --listen flag cannot be used together")
    if not os.path.isdir(target):  # noqa: PTH112
        raise CommandError("Target path must be a directory")
    return _by_sshfs(session, server, name, "/" + path, target)


def opened(server: Server, name: str) -> Wire:
    """A connection that speaks SFTP in an instance. Raises CommandError when the server has none."""
    wire = sftp.open_wire(server, url("instances", name, "sftp"))
    if wire is None:
        raise CommandError("The server has no SFTP", "use lxc file pull and push")
    return wire


def _by_sshfs(session: Session, server: Server, name: str, path: str, target: str) -> int:
    import shutil

    program = shutil.which("sshfs")
    if program is None:
        raise CommandError("sshfs not found. Try SSH SFTP mode using the --listen flag", "or install sshfs")
    wire = opened(server, name)
    child = _start([program, "-o", "slave", f"{name}:{path}", target], wire)
    session.say(f"sshfs mounting {_quoted(f'{name}{path}')} on {_quoted(target)}")
    session.say("Press ctrl+c to finish")
    status = is_interrupted = None
    while status is None:
        try:
            status = child.wait()
        except KeyboardInterrupt:  # a terminal has told sshfs, too; it unmounts
            is_interrupted = True
            child.terminate()
    if status and not is_interrupted:
        raise CommandError(f"sshfs failed: exit status {status}")
    session.say("sshfs has stopped")
    return 0


def _start(argv: list[str], wire: Wire) -> subprocess.Popen[bytes]:
    """Start sshfs on a connection, which is given away."""
    import subprocess

    end = plain_end(wire)
    try:
        return subprocess.Popen(argv, stdin=end, stdout=end, stderr=sys.stderr)  # noqa: S603 - the program found above
    finally:
        os.close(end)


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


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
