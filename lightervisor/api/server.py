"""The HTTP server: one application, its wrappers, its life. Source: LXD REST API."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from lightervisor.api import callers, cors, envelope, errors, incus, raw
from lightervisor.api.door import Door
from lightervisor.api.local_connection import LocalConnection
from lightervisor.api.network_connection import NetworkConnection
from lightervisor.api.requests import asks_for_all
from lightervisor.api.routes import ROUTES
from lightervisor.api.services import SERVICES, Services
from lightervisor.auth import permissions
from lightervisor.auth.caller import refused
from lightervisor.auth.permissions import Access
from lightervisor.config.types import is_true

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS")
OPEN_WHILE_STOPPING = ("/internal/", "/1.0/events", "/1.0/operations")


class Server:
    """The API of one daemon."""

    def __init__(self, services: Services, doors: Sequence[Door] = ()) -> None:
        self._doors = doors
        self._state = "starting"
        self._app = web.Application(client_max_size=0, middlewares=[self._wrap])
        self._app[SERVICES] = services
        self._settings = services.server_config.all
        self._app.on_response_prepare.append(_hide_versions)
        cors.install(self._app, self._settings)
        incus.install(self._app)
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
        """Serve this socket and the network while the context lasts; at its end requests in flight are waited for."""
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        answering = cast(web.Server, runner.server)  # setup() made it
        for door in self._doors:
            door.serve_with(answering)
        site = await asyncio.get_running_loop().create_server(lambda: LocalConnection(answering), sock=listener)
        try:
            yield
        finally:
            site.close()
            for door in self._doors:
                await door.close()
            await runner.cleanup()

    @web.middleware
    async def _wrap(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if isinstance(request.protocol, NetworkConnection):
            request.protocol.begun()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s by %s", request.method, request.path, callers.of(request).requestor.username or "a guest")
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if request.method == "OPTIONS":
            return web.Response()  # all there is to it is in the headers
        try:
            cors.refuse_other_sites(request, self._settings)
            _authorize(request, self._settings())
            return await self._answered(incus.understood(request), handler)
        except ConnectionError as error:
            if request.transport is not None:
                return errors.answer(error)
            log.debug("the client of %s %s has gone", request.method, request.path)
            return envelope.failure(400, "The client has gone")
        except Exception as error:  # noqa: BLE001  # every failure gets an answer
            return errors.answer(error)

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer; what a client reads ends as soon as it is trusted no longer."""
        caller, transport = callers.of(request), request.transport
        is_read = request.method == "GET" or raw.STREAM in request.headers.get("Accept", "")
        if caller.is_local or not caller.is_trusted or not is_read or transport is None:
            return await handler(request)
        with self._app[SERVICES].trust.watching(caller, callers.shown(request), transport.abort):
            return await handler(request)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request is not even looked at; None when it is."""
        if self._state == "starting":
            return envelope.failure(503, "LXD daemon setup in progress")
        if self._state == "stopping" and request.method != "GET" and not request.path.startswith(OPEN_WHILE_STOPPING):
            return envelope.failure(503, "LXD is shutting down")
        served = request.protocol.paths if isinstance(request.protocol, NetworkConnection) else None
        if served is not None and request.path not in served:
            return envelope.failure(404, "not found")
        if request.method not in METHODS:
            return envelope.failure(404, f'Method "{request.method}" not found')
        return None


async def _hide_versions(_request: web.Request, response: web.StreamResponse) -> None:
    """As LXD: strangers are not told which program, of which version, answers them."""
    response.headers.pop("Server", None)


def _authorize(request: web.Request, settings: Mapping[str, str]) -> None:
    """Refuse what the caller may not ask for: the one place where the table is applied. Raises Forbidden."""
    caller, resource = callers.of(request), request.match_info.route.resource
    if resource is not None:
        access = permissions.access_to(request.method, resource.canonical)
        if access is Access.METRICS and not is_true(settings.get("core.metrics_authentication", "true")):
            return
        project = request.query.get("project") or "default"
        permissions.check(caller, access, project, is_about_all=asks_for_all(request))
    elif isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed) and not caller.is_trusted:
        raise refused()  # as LXD: guests do not learn what there is
