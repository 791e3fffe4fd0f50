"""Standard input and output, connected to an SFTP session: what `ssh -s sftp` is to OpenSSH's sftp."""

from __future__ import annotations

import os
import socket
import threading

from lightervisor.client.light_http import Wire


def main(path: str, name: str) -> None:
    """Carry bytes until one side ends."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    wire = Wire(connection, "x", is_local=True)
    wire.exchange("GET", f"/1.0/instances/{name}/sftp", {"Upgrade": "sftp", "Connection": "Upgrade"}, None)

    def upwards() -> None:
        while data := os.read(0, 65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=upwards, daemon=True).start()
    while data := connection.recv(65536):
        os.write(1, data)
