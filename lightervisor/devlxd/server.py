"""The guest API's server: takes the connections of all containers and answers them. Source: LXD, guest API.

Every connection arrives with the instance it belongs to, as the kernel told it. What a guest asks is paid for from its
own allowance, so that one that asks too much waits, and only that one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from lightervisor.devlxd import answers, events, images, instance
from lightervisor.devlxd.connection import EXPORT, GUESTS, READ, WRITE, Connection, guests, instance_of, peer_of
from lightervisor.errors import Failure
from lightervisor.images.store import Images
from lightervisor.instances.guest_sockets import GuestConnection, GuestSockets
from lightervisor.instances.guests import Guests

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


class GuestServer:
    """Answers guests for as long as it runs."""

    def __init__(self, sockets: GuestSockets, guests: Guests, store: Images) -> None:
        self._sockets = sockets
        self._app = web.Application(client_max_size=0, middlewares=[_answered])
        self._app[GUESTS] = guests
        self._app[images.IMAGES] = store
        self._app.on_response_prepare.append(_hide_version)
        self._app.add_routes([*instance.ROUTES, *events.ROUTES, *images.ROUTES])

    async def run(self) -> None:
        """Take connections and answer them, until this is cancelled."""
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        try:
            while True:
                await self._serve(runner, await self._sockets.next())
        finally:
            await runner.cleanup()

    @staticmethod
    async def _serve(runner: web.AppRunner, peer: GuestConnection) -> None:
        server = runner.server
        if server is None:
            raise RuntimeError("the server is not set up")
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: Connection(server, peer), peer.socket)
        except OSError as error:
            log.debug("no connection with instance %s: %s", peer.guest.name, error)
            peer.socket.close()
            peer.ended()


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    peer = peer_of(request)
    try:
        await peer.may_go_on(_cost(request))
        response = _refusal(peer)
        if response is None:
            guests(request).check_offered(*instance_of(request))
            return await handler(request)
    except Failure as failure:
        response = answers.failure(failure)
    except web.HTTPNotFound:
        response = answers.refusal(404, "404 page not found")
    except web.HTTPMethodNotAllowed:
        response = answers.refusal(405, f'method "{request.method}" not allowed')
    except Exception:  # every failure gets an answer
        log.exception("the guest API could not answer instance %s", peer.guest.name)
        response = answers.refusal(500, "internal error")
    if response.status in (401, 500):
        response.force_close()
    return response


def _refusal(peer: GuestConnection) -> web.Response | None:
    if not peer.refusal:
        return None
    return answers.refusal(401 if peer.refusal.startswith("Access") else 500, peer.refusal)


def _cost(request: web.Request) -> int:
    if request.path.endswith("/export"):
        return EXPORT
    return READ if request.method == "GET" else WRITE


async def _hide_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
