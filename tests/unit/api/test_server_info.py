"""The server as clients see it."""

from __future__ import annotations

from tests.unit.api.conftest import Client


async def test_the_versions_are_listed(client: Client) -> None:
    assert (await (await client.get("/")).json())["metadata"] == ["/1.0"]


async def test_the_server_tells_what_it_can(client: Client) -> None:
    told = (await (await client.get("/1.0")).json())["metadata"]
    assert (told["auth"], told["api_version"]) == ("trusted", "1.0")
    assert "instances" in told["api_extensions"]
    assert len(set(told["api_extensions"])) == len(told["api_extensions"])


async def test_the_configuration_is_replaced_and_merged(client: Client) -> None:
    tag = (await client.get("/1.0")).headers["ETag"]
    put = await client.put("/1.0", json={"config": {"user.a": "1", "user.b": True}}, headers={"If-Match": tag})
    assert put.status == 200
    assert (await client.patch("/1.0", json={"config": {"user.a": "", "core.shutdown_timeout": 7}})).status == 200
    told = (await (await client.get("/1.0")).json())["metadata"]["config"]
    assert told == {"user.b": "true", "core.shutdown_timeout": "7"}


async def test_a_password_that_is_set_is_true_and_for_incus_a_text(client: Client) -> None:
    """LXD answers with a boolean, at which Incus' client, which has texts only, stops reading."""
    assert (await client.patch("/1.0", json={"config": {"core.trust_password": "secret"}})).status == 200
    answers = [await client.get("/1.0", headers={"User-Agent": agent}) for agent in ("LXD 5.0.2", "incus 6.0")]
    shown = [(await answer.json())["metadata"]["config"]["core.trust_password"] for answer in answers]
    assert shown == [True, "true"]
    put = {"config": {"core.trust_password": "true"}}
    answer = await client.put("/1.0", json=put, headers={"If-Match": answers[1].headers["ETag"]})
    assert answer.status == 200
    assert (await client.patch("/1.0", json={"config": {"core.trust_password": ""}})).status == 200


async def test_an_unknown_key_is_named(client: Client) -> None:
    answer = await client.patch("/1.0", json={"config": {"no.such.key": "x"}})
    assert answer.status == 400
    assert (await answer.json())["error"].startswith("cannot set 'no.such.key' to 'x': unknown key")


async def test_every_key_is_described(client: Client) -> None:
    configs = (await (await client.get("/1.0/metadata/configuration")).json())["metadata"]["configs"]
    assert any("core.shutdown_timeout" in key for key in configs["server"]["core"]["keys"])


async def test_what_is_not_offered_is_empty(client: Client) -> None:
    for path in ("/1.0/certificates", "/1.0/warnings", "/1.0/virtual-machines"):
        assert (await (await client.get(path)).json())["metadata"] == []
    assert (await (await client.get("/1.0/projects")).json())["metadata"] == ["/1.0/projects/default"]


async def test_a_single_server_has_no_members(client: Client) -> None:
    for path in ("/1.0", "/1.0/resources", "/1.0/networks/x/state", "/1.0/storage-pools/x/resources"):
        answer = await client.get(f"{path}?target=m1")
        assert (answer.status, (await answer.json())["error"]) == (404, "Cluster member not found")


async def test_networks_are_asked_for_in_a_project_that_exists(client: Client) -> None:
    answer = await client.get("/1.0/networks?project=nope")
    assert (answer.status, (await answer.json())["error"]) == (404, "Project not found")
