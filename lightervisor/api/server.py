"""The HTTP server: one application, its wrappers, its life. Source: LXD REST API."""

import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from lightervisor.api import envelope, errors
from lightervisor.api.requests import requestor
from lightervisor.api.routes import ROUTES
from lightervisor.api.services import SERVICES, Services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS")
OPEN_WHILE_STOPPING = ("/internal/", "/1.0/events", "/1.0/operations")


class Server:
    """The API of one daemon."""

    def __init__(self, services: Services) -> None:
        self._state = "starting"
        self._app = web.Application(client_max_size=0, middlewares=[self._wrap])
        self._app[SERVICES] = services
        for route in ROUTES:  # not add_routes: it would answer HEAD wherever there is a GET
            self._app.router.add_route(route.method, route.path, route.handler)

    @property
    def application(self) -> web.Application:
        """The aiohttp application."""
        return self._app

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
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s by %s", request.method, request.path_qs, requestor(request).username)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            return await handler(request)
        except ConnectionResetError as error:
            if request.transport is not None:
                return errors.answer(error)
            log.debug("the client of %s %s has gone", request.method, request.path)
            return envelope.failure(400, "The client has gone")
        except Exception as error:  # noqa: BLE001  # every failure gets an answer
            return errors.answer(error)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request is not even looked at; None when it is."""
        if self._state == "starting":
            return envelope.failure(503, "LXD daemon setup in progress")
        if self._state == "stopping" and request.method != "GET" and not request.path.startswith(OPEN_WHILE_STOPPING):
            return envelope.failure(503, "LXD is shutting down")
        if request.method not in METHODS:
            return envelope.failure(404, f'Method "{request.method}" not found')
        return None
