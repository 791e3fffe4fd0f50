"""Who may send which request: the table against the routes, and what guests and restricted clients get."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lightervisor.api import requests
from lightervisor.api.routes import ROUTES
from lightervisor.api.server import Server
from lightervisor.api.services import Services
from lightervisor.auth.caller import Caller, Level
from lightervisor.auth.permissions import TABLE, Access, access_to
from lightervisor.model.event import EventLifecycleRequestor
from tests.unit.api.conftest import Client

GUEST = Caller(level=Level.GUEST, requestor=EventLifecycleRequestor(protocol="tls"))


def restricted(*projects: str) -> Caller:
    requestor = EventLifecycleRequestor(protocol="tls", username="ff")
    return Caller(level=Level.RESTRICTED, requestor=requestor, projects=frozenset(projects), fingerprint="ff")


@pytest.fixture
async def remote(server: Server) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    """A client that comes over the network without a certificate."""
    server.ready()
    async with TestClient(TestServer(server.application)) as connected:
        yield connected


def unlisted(application: web.Application) -> list[tuple[str, str]]:
    """What an application answers without a row of its own in the table."""
    missing: list[tuple[str, str]] = []
    for route in application.router.routes():
        path = route.resource.canonical if route.resource else ""
        for tree in ("/1.0/containers", "/1.0/virtual-machines"):
            if path.startswith(tree):
                path = "/1.0/instances" + path.removeprefix(tree)
        if route.method not in TABLE.get(path, {}):
            missing.append((route.method, path))
    return missing


async def test_every_route_has_a_row_in_the_table(server: Server) -> None:
    assert len(server.application.router.routes()) == len(ROUTES)
    assert not unlisted(server.application)


async def test_a_route_that_was_forgotten_is_told_and_stays_locked(server: Server) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="open")

    server.application.router.add_route("GET", "/1.0/forgotten/{name}", answer)
    assert unlisted(server.application) == [("GET", "/1.0/forgotten/{name}")]
    server.ready()
    async with TestClient(TestServer(server.application)) as guest:
        assert (await guest.get("/1.0/forgotten/x")).status == 403


def test_what_the_table_does_not_know_is_for_administrators() -> None:
    assert access_to("GET", "/1.0/new") is Access.ADMIN
    assert access_to("PURGE", "/1.0/images") is Access.ADMIN


def test_all_three_trees_of_instances_have_the_same_rules() -> None:
    for tree in ("instances", "containers", "virtual-machines"):
        assert access_to("POST", f"/1.0/{tree}/{{name}}/exec") is Access.PROJECT
    assert access_to("GET", "/1.0/containersx") is Access.ADMIN


OPEN = {"/", "/1.0", "/1.0/images", "/1.0/images/{fingerprint}", "/1.0/images/{fingerprint}/export",
        "/1.0/images/aliases/{name:.+}", "/1.0/operations/{id}/websocket"}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_guest_is_refused_nearly_everywhere(remote: TestClient, route: object) -> None:  # type: ignore[type-arg]
    method, path = route.method, route.path  # type: ignore[attr-defined]
    if method == "GET" and path in OPEN:
        return
    concrete = re.sub(r"\{[^}]*\}", "ff", path)
    answer = await remote.request(method, concrete, json={} if method not in ("GET", "HEAD") else None)
    assert answer.status == 403
    if method != "HEAD":
        assert (await answer.json())["error"] == "not authorized"


async def test_a_guest_learns_only_how_to_become_trusted(remote: TestClient) -> None:  # type: ignore[type-arg]
    shown = (await (await remote.get("/1.0")).json())["metadata"]
    assert list(shown) == ["api_extensions", "api_status", "api_version", "auth", "public", "auth_methods"]
    assert shown["auth"] == "untrusted"


async def test_a_guest_cannot_send_much(remote: TestClient) -> None:  # type: ignore[type-arg]
    answer = await remote.post("/1.0/certificates", data=io.BytesIO(b" " * (65 << 10)))
    assert answer.status == 413


async def test_a_guest_that_never_finishes_its_body_is_not_waited_for(
    remote: TestClient,  # type: ignore[type-arg]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "PATIENCE_WITH_GUESTS_S", 0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await remote.post("/1.0/certificates", data=body())
    assert answer.status == 408


async def test_a_guest_is_not_told_which_methods_there_are(remote: TestClient) -> None:  # type: ignore[type-arg]
    assert (await remote.delete("/1.0/networks")).status == 403
    assert (await remote.get("/1.0/nothing")).status == 404


async def test_the_socket_is_the_administrators(client: Client) -> None:
    shown = (await (await client.get("/1.0")).json())["metadata"]
    assert shown["auth"] == "trusted"
    assert shown["config"] == {}


@pytest.fixture
def as_restricted(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client of the network is one that may enter project `default`."""
    monkeypatch.setattr(services.trust, "remote", lambda _chain, _address: restricted("default"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/1.0/instances", 200),
        ("GET", "/1.0/instances?all-projects=true", 200),
        ("GET", "/1.0/instances?project=other", 403),
        ("GET", "/1.0/instances/c1", 200),
        ("GET", "/1.0/profiles", 200),
        ("GET", "/1.0/profiles?project=other", 403),
        ("GET", "/1.0/operations", 200),
        ("GET", "/1.0/operations?project=other", 403),
        ("GET", "/1.0/certificates", 200),
        ("GET", "/1.0/projects/other", 403),
        ("POST", "/1.0/projects", 501),
        ("PATCH", "/1.0", 403),
        ("PUT", "/1.0", 403),
        ("POST", "/1.0/storage-pools", 403),
        ("GET", "/1.0/warnings", 403),
        ("PUT", "/internal/shutdown", 403),
        ("GET", "/internal/ready", 403),
        ("GET", "/1.0/events?type=logging", 403),
        ("GET", "/1.0/events?project=other", 404),
    ],
)
@pytest.mark.usefixtures("as_restricted")
async def test_a_restricted_client_stays_in_its_projects(
    remote: TestClient,  # type: ignore[type-arg]
    method: str,
    path: str,
    status: int,
) -> None:
    assert (await remote.request(method, path, json=None if method == "GET" else {})).status == status


@pytest.mark.usefixtures("as_restricted")
async def test_a_restricted_client_sees_no_configuration_and_no_tokens(remote: TestClient, services: Services) -> None:  # type: ignore[type-arg]
    assert (await (await remote.get("/1.0")).json())["metadata"]["config"] is None
    token = services.operations.add_token("Executing operation", project="")
    assert (await (await remote.get("/1.0/operations?recursion=1")).json())["metadata"] == {}
    assert (await remote.get(f"/1.0/operations/{token.id}")).status == 404
    assert (await remote.delete(f"/1.0/operations/{token.id}")).status == 404
    assert (await remote.get(f"/1.0/operations/{token.id}/wait")).status == 404


async def test_a_restricted_client_without_projects_sees_nothing(
    remote: TestClient,  # type: ignore[type-arg]
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services.trust, "remote", lambda _chain, _address: restricted())
    for path in ("/1.0/instances", "/1.0/instances?all-projects=true", "/1.0/operations", "/1.0/events"):
        assert (await remote.get(path)).status == 403
    assert (await (await remote.get("/1.0/projects")).json())["metadata"] == []


@pytest.mark.parametrize("query", ["", "?project=default", "?all-projects=true", "?project=default&all-projects=1"])
async def test_no_spelling_opens_a_project(
    remote: TestClient,  # type: ignore[type-arg]
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
) -> None:
    monkeypatch.setattr(services.trust, "remote", lambda _chain, _address: restricted("other"))
    opened = []
    for route in ROUTES:
        if access_to(route.method, route.path.replace(":.+}", "}")) in (Access.PROJECT, Access.ADMIN, Access.LOCAL):
            path = re.sub(r"\{[^}]*\}", "c1", route.path)
            answer = await remote.request(route.method, path + query, json=None if route.method == "GET" else {})
            if answer.status != 403:
                opened.append((route.method, path, answer.status))
    assert not opened


async def test_a_listener_in_a_project_hears_nothing_of_the_server(services: Services) -> None:
    wanted = frozenset({"lifecycle", "operation"})
    with services.events.subscribe(wanted, "default", sees_server=False) as subscription:
        services.events.lifecycle("certificate-created", "/1.0/certificates/ff")
        services.operations.add_token("Executing operation", project="")
        services.events.lifecycle("instance-created", "/1.0/instances/c9", project="default")
        subscription.end()
        heard = [event async for event in subscription]
    assert len(heard) == 1
    assert b"instance-created" in heard[0]


@pytest.mark.usefixtures("as_restricted")
async def test_a_restricted_client_brings_no_memory(remote: TestClient) -> None:  # type: ignore[type-arg]
    """criu would do as root what the images say that a server of the client's choice has sent."""
    for path in ("/1.0/instances", "/1.0/containers"):
        source = {"type": "migration", "mode": "push", "live": True}
        answer = await remote.post(path, json={"name": "c1", "source": source})
        assert (answer.status, (await answer.json())["error"]) == (403, "not authorized")
        answer = await remote.post(path, json={"name": "c1", "source": {**source, "live": False}})
        assert answer.status != 403
