"""`lxc file mount`: the files of an instance in a directory here, by sshfs, or for SSH clients (`file_listen`)."""

from __future__ import annotations

import os
import sys

from lightervisor.cli.errors import CommandError
from lightervisor.cli.file_stream import opened, plain_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Wire


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


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
