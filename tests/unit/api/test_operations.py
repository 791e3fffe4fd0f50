"""Operations and events over websockets."""

from __future__ import annotations

import asyncio
import json

from lightervisor.api.services import Services
from lightervisor.operations.operations import Channel, Run
from tests.unit.api.conftest import Client


async def test_an_operation_is_listed_by_its_status_and_waited_for(client: Client, services: Services) -> None:
    may_end = asyncio.Event()

    async def work(_run: Run) -> None:
        await may_end.wait()

    url = f"/1.0/operations/{services.operations.start('Testing', work).id}"
    assert (await (await client.get("/1.0/operations")).json())["metadata"] == {"running": [url]}
    early = await (await client.get(f"{url}/wait?timeout=0")).json()
    assert early["metadata"]["status"] == "Running"
    assert (await client.get(f"{url}/wait?timeout=x")).status == 400
    assert (await (await client.delete(url)).json())["error"] == "This operation can't be cancelled"
    may_end.set()
    assert (await (await client.get(f"{url}/wait")).json())["metadata"]["status"] == "Success"


async def test_a_secret_opens_its_websocket_once(client: Client, services: Services) -> None:
    served = asyncio.Event()

    async def echo(_name: str, channel: Channel) -> None:
        while (frame := await channel.receive()) is not None:
            await channel.send(frame)
        served.set()

    async def work(_run: Run) -> None:
        await served.wait()

    operation = services.operations.start("Testing", work, sockets=["0"], connect=echo)
    assert operation.metadata
    url = f"/1.0/operations/{operation.id}/websocket?secret="
    secret = operation.metadata["fds"]["0"]
    assert (await client.get(url + secret)).status == 400  # no websocket was asked for, the secret is good still
    assert (await client.get(url + "x", headers={"Upgrade": "websocket"})).status == 403
    async with client.ws_connect(url + secret) as websocket:
        await websocket.send_bytes(b"data")
        assert await websocket.receive_bytes() == b"data"
        await websocket.send_str("")
        assert await websocket.receive_str() == ""
        assert (await client.get(url + secret, headers={"Upgrade": "websocket"})).status == 403
    await services.operations.wait(operation.id, 10)
    assert (await client.get(url + secret, headers={"Upgrade": "websocket"})).status == 400


async def test_events_arrive_as_text_and_end_with_the_daemon(client: Client, services: Services) -> None:
    async with client.ws_connect("/1.0/events?type=lifecycle") as websocket:
        services.events.lifecycle("instance-started", "/1.0/instances/c1", project="default")
        event = json.loads(await websocket.receive_str())
        assert (event["type"], event["metadata"]["action"]) == ("lifecycle", "instance-started")
        services.events.close()
        assert (await websocket.receive()).data == 1000


async def test_a_listener_that_leaves_is_forgotten(client: Client, services: Services) -> None:
    async with client.ws_connect("/1.0/events") as websocket:
        services.events.lifecycle("x", "/1.0")
        await websocket.receive_str()
    answer = await client.get("/1.0")
    assert answer.status == 200
