"""`lxc file mount` without a directory: the files of an instance for SSH clients (sftp, sshfs, file managers).

SSH is asyncssh's; what is said inside is carried to the server's SFTP as it is. Imported by this command alone, as
asyncssh takes its time.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lightervisor.cli import libraries
from lightervisor.cli.errors import CommandError
from lightervisor.cli.file_stream import opened, plain_end

libraries.reach()

import asyncssh  # noqa: E402 - from where the line above leads

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_DEFAULT = "127.0.0.1:0"
_CONNECT_FAILED = 2
"""Source: RFC 4254, SSH_OPEN_CONNECT_FAILED."""


class _Door(asyncssh.SSHServer):
    """Lets in who knows the password, or everybody when there is none."""

    def __init__(self, session: Session, channels: Callable[[], _Channel], user: str, password: str) -> None:
        self._session, self._channels, self._user, self._password = session, channels, user, password
        self._peer = ""
        self._connection: Any = None  # asyncssh's types are incomplete here

    def session_requested(self) -> tuple[asyncssh.SSHServerChannel[bytes], _Channel]:
        """A channel of bytes. Raises ChannelOpenError when the connection has gone."""
        if self._connection is None:
            raise asyncssh.ChannelOpenError(_CONNECT_FAILED, "the connection has gone")
        return self._connection.create_server_channel(encoding=None), self._channels()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Say who comes."""
        self._connection = conn
        host, port = conn.get_extra_info("peername")[:2]
        self._peer = f"{host}:{port}"
        self._session.say(f'SSH client connected "{self._peer}"')

    def connection_lost(self, exc: Exception | None) -> None:
        """Say who goes."""
        _ = exc
        self._session.say(f'SSH client disconnected "{self._peer}"')

    def begin_auth(self, username: str) -> bool:
        """Whether a password is asked for."""
        _ = username
        return bool(self._password)

    def password_auth_supported(self) -> bool:
        """There is no other way in."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Whether they are the ones that were printed."""
        is_user = hmac.compare_digest(username.encode(), self._user.encode())
        return hmac.compare_digest(password.encode(), self._password.encode()) and is_user


def serve(session: Session, server: Server, name: str, flags: Flags) -> int:
    """Listen until Ctrl-C; the exit status."""
    os.close(plain_end(opened(server, name)))  # what is wrong is told now, not to the first client
    user = flags.text("auth-user") or secrets.token_hex(4)
    password = "" if flags.on("no-auth") else secrets.token_urlsafe(12)
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(session, server, name, flags.text("listen") or _DEFAULT, (user, password)))
    return 0


async def _listen(session: Session, server: Server, name: str, address: str, login: tuple[str, str]) -> None:
    host, port = _parsed(address)

    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    try:
        listener = await asyncssh.listen(
            host,
            port,
            server_factory=lambda: _Door(session, lambda: _Channel(server, name), *login),
            server_host_keys=[key],
            allow_scp=False,
        )
    except OSError as error:
        raise CommandError(f"listen tcp {address}: {(error.strerror or str(error)).lower()}") from error
    bound = listener.sockets[0].getsockname()
    shown = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
    session.say(f"SSH SFTP listening on {shown}")
    session.say(f"The host key is {key.get_fingerprint()}")
    if login[1]:
        session.say(f'Login with username "{login[0]}" and password "{login[1]}"')
    else:
        session.say("Login without username and password")
    await listener.wait_closed()


class _Channel(asyncssh.SSHServerSession[bytes]):
    """One SFTP session of a client: what it says goes to the server, and back."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name
        self._early: list[bytes] = []
        self._beginning: asyncio.Task[None] | None = None
        self._ours: asyncio.Transport | None = None
        self.channel: Any = None  # asyncssh's types are incomplete here

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel to the client."""
        self.channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        """Nothing else is served here."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Connect to the server."""
        self._beginning = asyncio.create_task(self._begin())

    async def _begin(self) -> None:
        try:
            other = self._server.scoped_to()  # it has a connection of its own, as this is another thread
            end = await asyncio.to_thread(lambda: plain_end(opened(other, self._name)))
            loop = asyncio.get_running_loop()
            ours, _ = await loop.create_unix_connection(lambda: _Ours(self), sock=socket.socket(fileno=end))
        except Exception as error:  # noqa: BLE001 - told to the client, whatever it is
            if self.channel is not None:
                self.channel.write_stderr(f"{error}\n".encode())
                self.channel.exit(1)
            return
        for data in self._early:
            ours.write(data)
        self._ours = ours

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """What the client says."""
        _ = datatype
        if self._ours is None:
            self._early.append(data)  # SSH's window limits it
        else:
            self._ours.write(data)

    def eof_received(self) -> bool:
        """The client says no more, and is still answered."""
        if self._ours is not None:
            self._ours.write_eof()
        return True

    def pause_writing(self) -> None:
        """The client is slow."""
        if self._ours is not None:
            self._ours.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._ours is not None:
            self._ours.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        _ = exc
        if self._beginning is not None:
            self._beginning.cancel()
        if self._ours is not None:
            self._ours.abort()


class _Ours(asyncio.Protocol):
    """The other end of a channel: the server's SFTP."""

    def __init__(self, to: _Channel) -> None:
        self._to = to

    def data_received(self, data: bytes) -> None:
        """What the server answers."""
        if self._to.channel is not None:
            self._to.channel.write(data)

    def pause_writing(self) -> None:
        """The server is slow."""
        if self._to.channel is not None:
            self._to.channel.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._to.channel is not None:
            self._to.channel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The session has ended there: the instance was stopped, for instance."""
        _ = exc
        if self._to.channel is not None:
            self._to.channel.exit(0)


def _parsed(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise CommandError(f"listen tcp: address {address}: missing port in address", "for instance 127.0.0.1:2222")
    return host, int(port)
