"""Copies of instances and snapshots on one server, through each client."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness import leaks
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

IDENTITY = ("volatile.uuid", "volatile.cloud-init.instance-id", "volatile.eth0.hwaddr")


def write(client: Client, name: str, text: str) -> None:
    client.push(name, "/root/note", text.encode())


def note(client: Client, name: str) -> str:
    return client.pull(name, "/root/note").decode()


def shown(daemon: Daemon, name: str) -> dict[str, Any]:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata


def copied(daemon: Daemon, source: str, name: str, **fields: object) -> dict[str, Any]:
    more = fields.pop("more", {})
    assert isinstance(more, dict)
    body = {"name": name, "source": {"type": "copy", "source": source, **fields}, **more}
    return daemon.operation("POST", "/1.0/instances", body)


def test_a_copy_is_another_machine_with_the_same_files(client: Client, daemon: Daemon, image: str, name: str) -> None:
    copy = f"{name}-copy"
    client.create(image, name)
    write(client, name, "one")
    client.set_config(name, "user.note", "one")
    client.copy(name, copy)
    assert client.statuses()[copy] == "Stopped"
    assert (note(client, copy), client.config(copy)["user.note"]) == ("one", "one")
    ours, theirs = shown(daemon, copy), shown(daemon, name)
    assert ours["profiles"] == theirs["profiles"]
    assert ours["created_at"] > theirs["created_at"]
    for key in IDENTITY:
        assert ours["config"][key] != theirs["config"][key]
    assert ours["config"]["volatile.base_image"] == theirs["config"]["volatile.base_image"]
    assert ours["config"]["volatile.apply_template"] == "copy"
    assert set(ours["config"]) == set(theirs["config"])
    write(client, copy, "two")
    client.delete(name)
    client.change_state(copy, "start")
    assert client.run(copy, "cat", "/root/note").stdout == "two"
    client.change_state(copy, "stop", force=True)
    client.delete(copy)
    assert [*leaks.of_instance(daemon, name), *leaks.of_instance(daemon, copy)] == []


def test_snapshots_come_along_with_their_dates(client: Client, daemon: Daemon, image: str, name: str) -> None:
    copy = f"{name}-copy"
    client.create(image, name)
    write(client, name, "one")
    body = {"name": "first", "expires_at": "2040-01-01T00:00:00Z"}
    assert daemon.operation("POST", f"/1.0/instances/{name}/snapshots", body)["err"] == ""
    write(client, name, "two")
    client.snapshot(name, "second")
    client.copy(name, copy)
    assert client.snapshots(copy) == ["first", "second"]
    for snapshot in ("first", "second"):
        here, there = (
            daemon.request("GET", f"/1.0/instances/{one}/snapshots/{snapshot}").metadata for one in (copy, name)
        )
        for key in ("created_at", "expires_at", "profiles", "ephemeral", "devices"):
            assert here[key] == there[key]
        assert here["config"]["volatile.uuid"] == shown(daemon, copy)["config"]["volatile.uuid"]
    identity = {key: shown(daemon, copy)["config"][key] for key in IDENTITY}
    client.restore(copy, "first")
    assert note(client, copy) == "one"
    assert {key: shown(daemon, copy)["config"][key] for key in IDENTITY} == identity
    assert note(client, name) == "two"


def test_a_snapshot_becomes_an_instance(client: Client, daemon: Daemon, image: str, name: str) -> None:
    copy = f"{name}-copy"
    client.create(image, name)
    client.set_config(name, "user.note", "one")
    write(client, name, "one")
    client.snapshot(name, "first")
    client.set_config(name, "user.note", "two")
    write(client, name, "two")
    client.copy(f"{name}/first", copy)
    assert (note(client, copy), client.config(copy)["user.note"]) == ("one", "one")
    assert client.snapshots(copy) == []
    client.change_state(copy, "start")


def test_a_running_source_goes_on(client: Client, running: str) -> None:
    copy = f"{running}-copy"
    put = "echo $i > new; mv new a; echo $i > new; mv new b"
    client.run(running, "sh", "-c", f"cd /root; {put}; (while :; do i=$((i+1)); {put}; done) >/dev/null 2>&1 &")
    client.copy(running, copy)
    assert client.statuses()[running] == "Running"
    first, second = (client.pull(copy, f"/root/{one}").decode().strip() or "0" for one in "ab")
    assert int(first) - int(second) in (0, 1)  # of one moment
    before = client.pull(running, "/root/b")
    deadline = time.monotonic() + 10
    while client.pull(running, "/root/b") == before:
        assert time.monotonic() < deadline


def test_what_cannot_be_copied(client: Client, image: str, name: str) -> None:
    client.create(image, name)
    with pytest.raises(ClientFailure, match="already exists"):
        client.copy(name, name)
    with pytest.raises(ClientFailure, match=r"(?i)not found"):
        client.copy(f"{name}-none", f"{name}-copy")
    with pytest.raises(ClientFailure, match=r"(?i)not found"):
        client.copy(f"{name}/none", f"{name}-copy")
    with pytest.raises(ClientFailure, match="alphanumeric"):
        client.copy(name, f"{name}_copy")
    assert f"{name}-copy" not in client.statuses()


def test_flags_of_the_command(either: Lxc, daemon: Daemon, image: str, name: str) -> None:
    copy = f"{name}-copy"
    either.create(image, name)
    either.snapshot(name, "first")
    either.say("config", "device", "add", name, "root", "disk", "path=/", "pool=default", "size=1GiB")
    flags = ("--instance-only", "--stateless", "--ephemeral", "--no-profiles", "-c", "user.note=x", "-c", "user.more=y")
    either.say("config", "set", name, "user.gone=x")
    either.say("copy", name, copy, *flags, "-c", "user.gone=", "--device", "root,size=2GiB")
    found = shown(daemon, copy)
    assert (found["ephemeral"], found["profiles"]) == (True, [])
    assert found["devices"] == {"root": {"type": "disk", "path": "/", "pool": "default", "size": "2GiB"}}
    assert (found["config"]["user.note"], found["config"]["user.more"]) == ("x", "y")
    assert "user.gone" not in found["config"]
    assert either.snapshots(copy) == []


def test_a_copy_without_a_name_gets_one(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    lxc.create(image, name)
    said = lxc.say("copy", name)
    assert said.startswith("Instance name is: ")
    invented = said.split()[-1]
    assert shown(daemon, invented)["config"]["volatile.base_image"]
    lxc.delete(invented)


def test_templates_of_copies_are_made_at_their_start(lxc: Lxc, daemon: Daemon, image: str, name: str) -> None:
    copy = f"{name}-copy"
    lxc.create(image, name)
    path = f"/1.0/instances/{name}/metadata"
    metadata = daemon.request("GET", path).metadata
    when = {"template": "made.tpl", "when": ["copy"]}
    assert daemon.request("PUT", path, {**metadata, "templates": {"/etc/made": when}}).status == 200
    lxc("config", "template", "create", name, "made.tpl").ok()
    lxc("config", "template", "edit", name, "made.tpl", stdin="{{ container.name }} {{ trigger }}").ok()
    lxc.copy(name, copy)
    for one in (name, copy):
        lxc.change_state(one, "start")
    assert lxc.run(copy, "cat", "/etc/made").stdout == f"{copy} copy"
    assert lxc.run(name, "cat", "/etc/made").status != 0


def test_ten_copies_share_what_they_are_made_of(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.push(name, "/root/large", b"x" * (20 << 20))
    pool = daemon.state / "storage-pools/default"
    before = _blocks(pool)
    for number in range(10):
        assert copied(daemon, name, f"{name}-{number}")["err"] == ""
    assert _blocks(pool) - before < 4 << 20
    assert json.loads((pool / f"containers/{name}-9/volume.json").read_text())["lowers"]
    for number in range(10):
        assert daemon.operation("DELETE", f"/1.0/instances/{name}-{number}")["err"] == ""


def _blocks(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def test_copies_at_once_and_of_one_another(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    started = [
        daemon.request("POST", "/1.0/instances", {"name": f"{name}-{n}", "source": {"type": "copy", "source": name}})
        for n in range(8)
    ]
    for one in started:
        url = one.envelope["operation"]
        assert daemon.request("GET", f"{url}/wait").metadata["err"] == ""
    previous = f"{name}-0"
    for number in range(8, 12):
        write(lxc, previous, str(number))
        assert copied(daemon, previous, f"{name}-{number}")["err"] == ""
        previous = f"{name}-{number}"
    assert note(lxc, previous) == "11"


def test_what_a_request_may_not_say(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    for fields, more, status, text in (
        ({}, {"profiles": ["nope"]}, 400, 'Requested profile "nope" doesn\'t exist'),
        ({"project": "nope"}, {}, 404, f'Failed to fetch instance "{name}" in project "nope": Instance not found'),
        ({}, {"stateful": True}, 400, f'Copying stateful instances requires that source "{name}" and target'),
        ({}, {"config": {"bad.key": "1"}}, 400, "Unknown configuration key: bad.key"),
        (
            {},
            {"devices": {"root": {"type": "disk", "path": "/", "pool": "nope"}}},
            404,
            "Failed loading storage pool: S",
        ),
    ):
        body = {"name": f"{name}-copy", "source": {"type": "copy", "source": name, **fields}, **more}
        answer = daemon.request("POST", "/1.0/instances", body)
        assert (answer.status, text in answer.error) == (status, True), answer.body
    answer = daemon.request("POST", "/1.0/instances", {"name": f"{name}-copy", "source": {"type": "copy"}})
    assert (answer.status, answer.error) == (400, "Must specify a source instance")
    assert f"{name}-copy" not in daemon.instance_names()
