"""Lists and objects of instances."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.conftest import Client


async def listed(client: Client, path: str) -> Any:
    return (await (await client.get(path)).json())["metadata"]


@pytest.mark.parametrize("kind", ["instances", "containers"])
async def test_each_tree_lists_its_own_urls(client: Client, kind: str) -> None:
    assert await listed(client, f"/1.0/{kind}") == [f"/1.0/{kind}/c1"]


async def test_a_filter_holds_for_urls_and_objects(client: Client) -> None:
    assert await listed(client, "/1.0/instances?filter=name+eq+c2") == []
    assert await listed(client, "/1.0/instances?filter=config.image.os+eq+debian") == ["/1.0/instances/c1"]
    found = await listed(client, "/1.0/instances?recursion=1&filter=status+eq+Stopped")
    assert [one["name"] for one in found] == ["c1"]


async def test_an_empty_filter_and_a_bad_depth_mean_nothing(client: Client) -> None:
    assert await listed(client, "/1.0/instances?filter=&recursion=x") == ["/1.0/instances/c1"]


async def test_one_instance_is_shown_with_its_profiles_merged_and_a_tag(client: Client) -> None:
    answer = await client.get("/1.0/instances/c1")
    assert (await answer.json())["metadata"]["expanded_config"]["user.note"] == "<&>"
    assert len(answer.headers["ETag"].strip('"')) == 64


async def test_the_tag_changes_with_a_profile(client: Client) -> None:
    before = (await client.get("/1.0/instances/c1")).headers["ETag"]
    assert (await client.patch("/1.0/profiles/default", json={"config": {"user.x": "1"}})).status == 200
    assert (await client.get("/1.0/instances/c1")).headers["ETag"] != before
