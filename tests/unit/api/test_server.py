"""What every path has in common."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lightervisor.api.server import Server
from tests.unit.api.conftest import Client, on_socket


async def error(client: Client, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    answer = await client.request(method, path, data=None if body is None else io.BytesIO(body))
    return answer.status, (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/1.0/nothing", (404, "not found")),
        ("GET", "/1.0/images/aliases", (500, None)),
        ("DELETE", "/1.0", (501, "not implemented")),
        ("TRACE", "/1.0", (404, 'Method "TRACE" not found')),
        ("GET", "/1.0/instances/none", (404, "Instance not found")),
        ("GET", "/1.0/instances/c1?project=p", (404, "Instance not found")),
        ("GET", "/1.0/virtual-machines/c1", (404, "Instance not found")),
        ("GET", "/1.0/projects/p", (404, "Project not found")),
        ("GET", "/1.0/certificates/ff", (404, "Certificate not found")),
        ("GET", "/1.0/warnings/x", (404, "Warning not found")),
        ("GET", "/1.0/operations/x", (404, "Operation not found")),
        ("GET", "/1.0/events?type=x", (400, '"x" isn\'t a supported event type')),
        ("GET", "/1.0/instances?filter=name", (500, "Invalid filter: clause has no operator")),
        (
            "GET",
            "/1.0/instances?all-projects=true&project=default",
            (400, "Cannot specify a project when requesting all projects"),
        ),
    ],
)
async def test_errors_have_the_codes_and_texts_of_lxd(
    client: Client, method: str, path: str, expected: tuple[int, str | None]
) -> None:
    status, text = await error(client, method, path)
    assert status == expected[0]
    assert expected[1] is None or text == expected[1]


async def test_head_is_answered_for_files_only(client: Client) -> None:
    assert (await client.head("/1.0")).status == 501


async def test_a_failure_of_our_own_is_told_without_a_traceback(client: Client) -> None:
    status, text = await error(client, "GET", "/1.0/networks")
    assert status == 500
    assert text.startswith("Internal error")
    assert "File" not in text


async def test_nothing_is_served_before_the_daemon_is_ready(server: Server, tmp_path: Path) -> None:
    async with on_socket(server, tmp_path / "socket") as client:
        assert await error(client, "GET", "/1.0") == (503, "LXD daemon setup in progress")


async def test_a_stopping_daemon_lets_look_and_cancel_only(client: Client, server: Server) -> None:
    server.stopping()
    assert (await client.get("/1.0")).status == 200
    assert await error(client, "DELETE", "/1.0/operations/x") == (404, "Operation not found")
    assert await error(client, "PATCH", "/1.0", b"{}") == (503, "LXD is shutting down")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"config": 1}', 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b" " * (17 << 20), 413),
    ],
)
async def test_a_bad_body_is_refused(client: Client, body: bytes, status: int) -> None:
    assert (await error(client, "PUT", "/1.0", body))[0] == status


async def test_a_stale_tag_is_refused(client: Client) -> None:
    answer = await client.put("/1.0", json={"config": {}}, headers={"If-Match": "x"})
    assert answer.status == 412
    assert (await answer.json())["error"].endswith(" vs x")
