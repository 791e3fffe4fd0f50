"""Who is at the other end of a request's connection."""

from aiohttp import web

from lightervisor.api.network_connection import NetworkConnection
from lightervisor.api.tls import Session


def certificates(request: web.Request) -> list[bytes]:
    """The certificates that the client has shown, in DER, its own first; [] on the unix socket or when it showed none.

    The client has the key of the first one; nobody has vouched for any of them.
    """
    session = request.transport.get_extra_info("ssl_object") if request.transport else None
    return session.certificates() if isinstance(session, Session) else []


def address(request: web.Request) -> str:
    """Address and port of the client, as 192.0.2.1:4242 or [2001:db8::1]:4242; what a trusted proxy told counts.

    "@" on the unix socket, as LXD has it.
    """
    connection = request.protocol
    return connection.client if isinstance(connection, NetworkConnection) else "@"
