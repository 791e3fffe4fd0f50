"""Snapshots of instances, through each client."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
from contextlib import closing

import pytest
import yaml

from lightervisor.client.light import Server
from lightervisor.client.light_http import unix_connector
from tests.harness import leaks
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon


def write(client: Client, name: str, text: str) -> None:
    client.push(name, "/root/note", text.encode())


def note(client: Client, name: str) -> str:
    return client.pull(name, "/root/note").decode()


def path(name: str, snapshot: str = "") -> str:
    return f"/1.0/instances/{name}/snapshots" + (f"/{snapshot}" if snapshot else "")


def made(daemon: Daemon, instance: str, **fields: object) -> dict[str, object]:
    return daemon.operation("POST", path(instance), fields)


def test_a_stopped_instance_is_what_it_was(client: Client, daemon: Daemon, image: str, name: str) -> None:
    client.create(image, name)
    write(client, name, "one")
    client.set_config(name, "user.note", "one")
    client.snapshot(name, "first")
    write(client, name, "two")
    client.set_config(name, "user.note", "two")
    client.snapshot(name)
    assert client.snapshots(name) == ["first", "snap0"]
    client.restore(name, "first")
    assert (note(client, name), client.config(name)["user.note"]) == ("one", "one")
    client.restore(name, "snap0")
    assert (note(client, name), client.config(name)["user.note"]) == ("two", "two")
    client.delete(name)
    assert leaks.of_instance(daemon, name) == []


def test_a_running_instance_is_stopped_and_started_again(client: Client, daemon: Daemon, running: str) -> None:
    write(client, running, "one")
    client.snapshot(running, "first")
    assert client.statuses()[running] == "Running"
    write(client, running, "two")
    before = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    client.restore(running, "first")
    after = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    assert after not in (0, before)
    assert client.run(running, "cat", "/root/note").stdout == "one"


def test_a_snapshot_is_renamed_and_deleted(client: Client, image: str, name: str) -> None:
    client.create(image, name)
    for snapshot in ("a", "b", "c"):
        client.snapshot(name, snapshot)
    client.rename_snapshot(name, "b", "d")
    client.delete_snapshot(name, "a")
    assert client.snapshots(name) == ["d", "c"]
    with pytest.raises(ClientFailure, match=r"(?i)not found"):
        client.delete_snapshot(name, "a")
    with pytest.raises(ClientFailure, match="already in use"):
        client.rename_snapshot(name, "c", "d")
    with pytest.raises(ClientFailure, match='This "instances_snapshots" entry already exists'):
        client.snapshot(name, "c")
    assert client.snapshots(name) == ["d", "c"]


def test_snapshots_follow_a_renamed_instance(client: Client, daemon: Daemon, image: str, name: str) -> None:
    client.create(image, name)
    write(client, name, "one")
    client.snapshot(name, "first")
    write(client, name, "two")
    client.rename(name, f"{name}-new")
    assert client.snapshots(f"{name}-new") == ["first"]
    client.restore(f"{name}-new", "first")
    assert note(client, f"{name}-new") == "one"
    client.delete(f"{name}-new")
    assert leaks.of_instance(daemon, name) == leaks.of_instance(daemon, f"{name}-new") == []


def test_an_ephemeral_instance_outlives_its_restore(client: Client, image: str, name: str) -> None:
    client.launch(image, name, ephemeral=True)
    client.snapshot(name, "first")
    client.restore(name, "first")
    assert client.statuses()[name] == "Running"
    client.change_state(name, "stop", force=True)
    assert name not in client.statuses()


def test_devices_profiles_and_description_come_back(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.say("profile", "create", f"{name}-p")
    lxc.say("profile", "create", f"{name}-q")
    lxc.say("profile", "add", name, f"{name}-p")
    lxc.say("profile", "add", name, f"{name}-q")
    lxc.say("config", "device", "add", name, "nothing", "none")
    lxc.snapshot(name, "first")
    before = daemon.request("GET", f"/1.0/instances/{name}").metadata
    lxc.say("config", "device", "remove", name, "nothing")
    lxc.say("profile", "assign", name, "default")
    lxc.say("config", "set", name, "limits.processes=100")
    lxc.restore(name, "first")
    after = daemon.request("GET", f"/1.0/instances/{name}").metadata
    assert after == before
    lxc.say("profile", "assign", name, "default")
    for profile in ("p", "q"):
        lxc.say("profile", "delete", f"{name}-{profile}")
    lxc.restore(name, "first")
    assert daemon.request("GET", f"/1.0/instances/{name}").metadata["profiles"] == ["default"]


def test_what_is_bad_is_refused_and_leaves_nothing(daemon: Daemon, image: str, lxc: Lxc, name: str) -> None:
    lxc.create(image, name)
    for bad in ("a/b", "..", ".", "a b", "x" * 300, "a\nb", "a\0b"):
        refused = daemon.request("POST", path(name), {"name": bad})
        assert (refused.status, "snapshot name" in refused.error) == (400, True), bad
    for fields in ({"name": 7}, {"expires_at": "tomorrow"}, {"expires_at": "2030-01-01T00:00:00"}, []):
        assert daemon.request("POST", path(name), fields).status == 400, fields
    stateful = daemon.request("POST", path(name), {"name": "s", "stateful": True})
    assert stateful.error.startswith("Unable to create a stateful snapshot. The instance isn't running")
    assert daemon.request("POST", path("nobody"), {}).error == "Instance not found"
    missing = f'Failed to fetch snapshot "x" of instance "{name}" in project "default": InstanceSnapshot not found'
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {}), ("POST", {"name": "y"}), ("DELETE", None)):
        answer = daemon.request(method, path(name, "x"), body)
        assert (answer.status, answer.error.partition(" (")[0]) == (404, missing), method
    restored = daemon.operation("PUT", f"/1.0/instances/{name}", {"restore": "x"})
    assert restored["err"].startswith(f"Snapshot {name}/x does not exist")
    assert lxc.snapshots(name) == []
    assert leaks.of_instance(daemon, f"{name}/x") == []


def test_nothing_is_stopped_for_a_restore_that_cannot_be(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc.snapshot(running, "first")
    before = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    for body in ({"restore": "x"}, {"restore": "first", "stateful": True}, {"restore": "other/first"}):
        assert daemon.operation("PUT", f"/1.0/instances/{running}", body)["status"] == "Failure"
    assert daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"] == before


def test_names_come_from_the_pattern(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.set_config(name, "snapshots.pattern", "x{{ creation_date|date:'2006' }}")
    for _ in range(3):
        lxc.snapshot(name)
    first, *others = lxc.snapshots(name)
    assert others == [f"{first}-0", f"{first}-1"]
    assert first.startswith("x2")
    lxc.set_config(name, "snapshots.pattern", "n%d")
    daemon.operation("POST", path(name), {"name": "n6"})
    lxc.snapshot(name)
    assert lxc.snapshots(name)[-1] == "n7"
    for pattern, complaint in (("%d-%d", "only once"), ("a/b", "Cannot contain"), ("{{ foo", "Template")):
        lxc.set_config(name, "snapshots.pattern", pattern)
        with pytest.raises(ClientFailure, match=complaint):
            lxc.snapshot(name)


def test_many_at_once_get_names_of_their_own(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(lambda _: made(daemon, name), range(8)))
    assert [end["status"] for end in ends] == ["Success"] * 8
    assert sorted(lxc.snapshots(name)) == [f"snap{number}" for number in range(8)]


def test_expiry_is_set_changed_and_removed(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    def ends(snapshot: str) -> str:
        return daemon.request("GET", path(name, snapshot)).metadata["expires_at"]

    lxc.create(image, name)
    lxc.set_config(name, "snapshots.expiry", "2d")
    lxc.snapshot(name, "a")
    lxc.say("snapshot", name, "b", "--no-expiry")
    made(daemon, name, name="c", expires_at="2040-01-01T01:00:00+01:00")
    assert ends("a") > "2026"
    assert (ends("b"), ends("c")) == ("0001-01-01T00:00:00Z", "2040-01-01T00:00:00Z")
    etag = daemon.request("GET", path(name, "c")).headers["etag"]
    stale = daemon.request("PUT", path(name, "a"), {"expires_at": "2041-01-01T00:00:00Z"}, headers={"If-Match": etag})
    assert stale.status == 412
    daemon.operation("PATCH", path(name, "c"), {})
    assert ends("c") == "2040-01-01T00:00:00Z"
    edited = yaml.safe_load(lxc.say("config", "show", f"{name}/c"))
    assert "2040" in str(edited["expires_at"])
    lxc.say("config", "edit", f"{name}/c", stdin="expires_at: 2042-01-01T00:00:00Z\n")
    assert ends("c") == "2042-01-01T00:00:00Z"
    daemon.operation("PUT", path(name, "c"), {})
    assert ends("c") == "0001-01-01T00:00:00Z"


def test_lists_and_reports_show_them(daemon: Daemon, either: Lxc, image: str, name: str) -> None:
    either.create(image, name)
    assert either.say("list", f"^{name}$", "-c", "nS", "-f", "csv").strip() == f"{name},0"
    either.snapshot(name)
    either.snapshot(name)
    assert either.say("list", f"^{name}$", "-c", "nS", "-f", "csv").strip() == f"{name},2"
    report = either.say("info", name)
    assert "| NAME  |       TAKEN AT       | EXPIRES AT | STATEFUL |" in report
    assert "| snap1 |" in report
    assert daemon.request("GET", path(name)).metadata == [path(name, "snap0"), path(name, "snap1")]
    whole = daemon.request("GET", f"{path(name)}?recursion=1").metadata
    (listed,) = [one for one in daemon.request("GET", "/1.0/instances?recursion=2").metadata if one["name"] == name]
    assert listed["snapshots"] == whole
    one = daemon.request("GET", path(name, "snap1")).metadata
    assert {**one, "size": -1} == whole[1]
    assert one["config"] == daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]


def test_a_snapshot_is_not_an_instance(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.snapshot(name, "first")
    for words in (("start",), ("stop",), ("exec", "true")):
        with pytest.raises(ClientFailure, match="Invalid instance name"):
            lxc.say(words[0], f"{name}/first", *words[1:])
    with pytest.raises(ClientFailure, match="only config key"):
        lxc.say("config", "set", f"{name}/first", "user.note=x")
    with pytest.raises(ClientFailure, match="parent must be the same"):
        lxc.say("move", f"{name}/first", "other")
    lxc.say("move", f"{name}/first", f"{name}/second")
    lxc.say("snapshot", name, "second", "--reuse")
    assert lxc.snapshots(name) == ["second"]


def test_each_change_is_told(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    server = Server(unix_connector(str(daemon.state / "unix.socket")), name="local")
    with closing(server.websocket("/1.0/events?type=lifecycle")) as events:
        lxc.snapshot(name, "a")
        lxc.say("config", "set", f"{name}/a", "expires_at=2040-01-01T00:00:00Z")
        lxc.rename_snapshot(name, "a", "b")
        lxc.restore(name, "b")
        lxc.delete_snapshot(name, "b")
        told: list[tuple[str, str]] = []
        while not told or told[-1][0] != "instance-snapshot-deleted":
            event = json.loads((events.receive(timeout_s=10) or (0, b""))[1])["metadata"]
            if f"/{name}" in event["source"]:
                told.append((event["action"], event["source"]))
    assert told == [
        ("instance-snapshot-created", path(name, "a")),
        ("instance-snapshot-updated", path(name, "a")),
        ("instance-snapshot-renamed", path(name, "b")),
        ("instance-restored", f"/1.0/instances/{name}"),
        ("instance-snapshot-deleted", path(name, "b")),
    ]


def test_files_that_are_nobodys_do_not_become_a_snapshot(daemon: Daemon, running: str) -> None:
    place = daemon.state / "storage-pools/default/containers-snapshots" / running / "old"
    place.mkdir(parents=True)
    (place / "note").write_text("of an older database")
    assert f"that {running} does not have" in str(made(daemon, running, name="old")["err"])
    assert (place / "note").read_text() == "of an older database"
    shutil.rmtree(place.parent)
    assert made(daemon, running, name="old")["status"] == "Success"
