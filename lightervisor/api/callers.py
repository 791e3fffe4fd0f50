"""Who sent a request: found once per request, from the socket it came on, and asked for by everything that decides.

Source: LXD REST API, authentication.
"""

import pwd
from functools import lru_cache

from aiohttp import web

from lightervisor.api import peers
from lightervisor.api.local_connection import LocalConnection
from lightervisor.api.services import services
from lightervisor.auth.caller import Caller, refused

_FOUND = web.RequestKey("caller", Caller)
_SHOWN = web.RequestKey("certificates", list[bytes])


def of(request: web.Request) -> Caller:
    """The caller of a request; what cannot be told to come from the unix socket is a guest of the network."""
    found = request.get(_FOUND)
    if found is None:
        found = request[_FOUND] = _identify(request)
    return found


def shown(request: web.Request) -> list[bytes]:
    """The certificates that the caller of a request has shown, in DER, its own first."""
    of(request)
    return request[_SHOWN]


def confirm(request: web.Request) -> None:
    """Raise Forbidden when the caller is trusted less, or differently, than when the request began.

    A body may take as long as its sender wishes to arrive, and trust may be taken back meanwhile.
    """
    before = of(request)
    if before.is_local or not before.is_trusted:
        return
    now = services(request).trust.remote(request[_SHOWN], before.requestor.address)
    if (now.level, now.projects) != (before.level, before.projects):
        raise refused()


def _identify(request: web.Request) -> Caller:
    connection, trust = request.protocol, services(request).trust
    if isinstance(connection, LocalConnection):
        request[_SHOWN] = []
        return trust.local(_user(connection.uid))
    request[_SHOWN] = peers.certificates(request)
    return trust.remote(request[_SHOWN], peers.address(request))


def host(request: web.Request) -> str:
    """The address of a client of the network without its port."""
    return peers.address(request).rpartition(":")[0].strip("[]")


@lru_cache(maxsize=256)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
