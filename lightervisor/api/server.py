"""The HTTP server: one application, its wrappers, its life. Source: LXD REST API."""

import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from lightervisor.api import (
    envelope,
    errors,
    images,
    instances,
    networks,
    operations,
    profiles,
    server_info,
    storage_pools,
)
from lightervisor.api.services import SERVICES, Services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)
OPEN_WHILE_STOPPING = ("/internal/", "/1.0/events", "/1.0/operations")
ROUTES = [
    *server_info.ROUTES,
    *operations.ROUTES,
    *instances.ROUTES,
    *images.ROUTES,
    *profiles.ROUTES,
    *storage_pools.ROUTES,
    *networks.ROUTES,
]


class Server:
    """The API of one daemon."""

    def __init__(self, services: Services) -> None:
        self._state = "starting"
        self._app = web.Application(client_max_size=0, middlewares=[self._wrap])
        self._app[SERVICES] = services
        self._app.add_routes(ROUTES)

    def ready(self) -> None:
        """From now on requests are served."""
        self._state = "ready"

    def stopping(self) -> None:
        """From now on only what helps to stop is served."""
        self._state = "stopping"

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[None, None]:
        """Listen while the context lasts; at its end requests in flight are waited for."""
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            yield
        finally:
            await runner.cleanup()

    @web.middleware
    async def _wrap(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        log.debug("%s %s", request.method, request.path_qs)
        if self._state == "starting":
            return envelope.failure(503, "LXD daemon setup in progress")
        if self._state == "stopping" and request.method != "GET" and not request.path.startswith(OPEN_WHILE_STOPPING):
            return envelope.failure(503, "LXD is shutting down")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return envelope.failure(404, "not found")
        except web.HTTPMethodNotAllowed:
            return envelope.failure(501, "not implemented")
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001  # every failure gets an answer
            return errors.answer(error)
