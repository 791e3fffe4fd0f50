"""Profiles over HTTP."""

from __future__ import annotations

from tests.unit.api.conftest import Client


async def test_empty_values_remove_keys(client: Client) -> None:
    body = {"config": {"user.a": "", "user.b": "1"}, "devices": {"x": {"type": "none", "name": ""}}}
    assert (await client.put("/1.0/profiles/default", json=body)).status == 200
    told = (await (await client.get("/1.0/profiles/default")).json())["metadata"]
    assert (told["config"], told["devices"]) == ({"user.b": "1"}, {"x": {"type": "none"}})


async def test_maps_are_sorted_as_go_does(client: Client) -> None:
    body = {"name": "p", "config": {"user.b": "1", "user.a": "2"}, "devices": {"z": {"type": "none"}, "a": {"x": "1"}}}
    assert (await client.post("/1.0/profiles", json=body)).status == 201
    text = await (await client.get("/1.0/profiles/p")).text()
    assert text.index('"config"') < text.index('"user.a"') < text.index('"user.b"') < text.index('"description"')
    assert text.index('"a":{') < text.index('"z":{')


async def test_the_default_profile_stays(client: Client) -> None:
    answer = await client.delete("/1.0/profiles/default")
    assert answer.status == 403
    assert (await answer.json())["error"] == 'The "default" profile cannot be deleted'
