"""Who is at the other end of a unix socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from lightervisor.kernel.peers import peer_of, pid_namespaces

CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sys.stdin.read()"


def test_a_process_of_ones_own_namespace_is_in_no_other() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours)
    assert peer is not None
    assert (peer.uid, peer.namespaces) == (os.getuid(), [])
    assert pid_namespaces(os.getpid()) == []


def test_who_has_ended_is_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        command = [sys.executable, "-I", "-c", CONNECT, tmp_path / "sock"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
            accepted, _ = listener.accept()
            with accepted:
                living = peer_of(accepted)
                client.communicate()
                gone = peer_of(accepted)
    assert living is not None
    assert gone is None
