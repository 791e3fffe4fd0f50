"""/dev/lxd/sock, asked from inside a running container. The bodies are LXD 5.0.2's, but for the ready state."""

from __future__ import annotations

import json

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest, Launch
from tests.harness.processes import eventually

CONFIG = {"user.foo": "bar\n100%", "cloud-init.user-data": "#cloud-config\n", "user.meta-data": "a: 1"}
LISTEN = """
client = connect(20)
client.sendall(f"GET {arguments[0]} HTTP/1.1\\r\\nHost: lxd\\r\\n{arguments[1]}\\r\\n".encode())
heard = client.makefile("rb")
while heard.readline().strip():
    pass
tell("listening")
"""
LINES = LISTEN + "while (line := heard.readline()): line.startswith(b'{') and tell(json.loads(line))"
FRAMES = (
    LISTEN
    + """
while True:
    first, length = heard.read(2)
    length = int.from_bytes(heard.read(2), "big") if length == 126 else length
    body = heard.read(length)
    first & 15 == 1 and tell(json.loads(body))
"""
)
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def config_of(daemon: Daemon, name: str) -> dict[str, str]:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]


def patch(daemon: Daemon, name: str, **changes: object) -> None:
    answer = daemon.request("PATCH", f"/1.0/instances/{name}", changes)
    assert answer.status == 200, answer.body


def test_the_answers_are_those_of_lxd(daemon: Daemon, launch: Launch) -> None:
    guest = launch(CONFIG)
    volatile = config_of(daemon, guest.name)
    assert guest.ask("/").body == b'["/1.0"]\n'
    described = json.loads(guest.ask("/1.0").body)
    assert list(described) == ["state", "api_version", "instance_type", "location"]
    assert (described["api_version"], described["instance_type"], described["location"]) == ("1.0", "container", "none")
    keys = json.loads(guest.ask("/1.0/config").body)
    assert sorted(keys) == [f"/1.0/config/{key}" for key in sorted(CONFIG)]
    for key, value in CONFIG.items():
        answer = guest.ask(f"/1.0/config/{key}")
        assert (answer.status, answer.body) == (200, value.encode())
        assert answer.headers["content-type"] == "application/octet-stream"
    identity = volatile["volatile.cloud-init.instance-id"]
    expected = f"#cloud-config\ninstance-id: {identity}\nlocal-hostname: {guest.name}\na: 1"
    assert guest.ask("/1.0/meta-data").body.decode() == expected
    devices = json.loads(guest.ask("/1.0/devices").body)
    assert devices["root"] == {"type": "disk", "path": "/", "pool": "default"}
    assert devices["eth0"]["hwaddr"] == volatile["volatile.eth0.hwaddr"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/1.0/config/user.none", 404, "not found"),
        ("/1.0/config/limits.memory", 403, "not authorized"),
        ("/1.0/config/volatile.uuid", 403, "not authorized"),
        ("/1.0/images/0123456789/export", 403, "not authorized"),
        ("/1.0/instances", 404, "404 page not found"),
        ("/internal/ready", 404, "404 page not found"),
        ("/1.0/config/user.foo/x", 404, "404 page not found"),
        ("/1.0/config/..%2f..%2finstances", 403, "not authorized"),
    ],
)
def test_what_is_refused_is_told_in_a_line(running: str, daemon: Daemon, path: str, status: int, text: str) -> None:
    answer = Guest(daemon, running).ask(path)
    assert (answer.status, answer.body.decode()) == (status, f"{text}\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_profiles_count_and_changes_are_seen_at_once(daemon: Daemon, launch: Launch, lxc: Lxc) -> None:
    guest = launch({"user.own": "1"})
    lxc("profile", "set", "default", "user.shared", "2").ok()
    try:
        assert guest.ask("/1.0/config/user.shared").body == b"2"
        lxc("config", "set", guest.name, "user.own", "3").ok()
        assert guest.ask("/1.0/config/user.own").body == b"3"
    finally:
        lxc("profile", "unset", "default", "user.shared").ok()
    assert guest.ask("/1.0/config/user.shared").status == 404


def test_who_is_not_root_inside_is_refused(daemon: Daemon, running: str) -> None:
    answer = Guest(daemon, running).ask("/1.0", user=1000)
    assert (answer.status, answer.body) == (401, b"Access denied for non-root user\n")


def test_a_guest_says_that_it_is_ready(daemon: Daemon, launch: Launch, either: Lxc) -> None:
    guest = launch()
    for body, text in (('{"state": "Done"}', b"Invalid state\n"), ("{", b"bad request\n"), ("[]", b"bad request\n")):
        answer = guest.ask("/1.0", "PATCH", body)
        assert (answer.status, answer.body) == (400, text)
    assert json.loads(guest.ask("/1.0").body)["state"] == "Started"
    assert guest.ask("/1.0", "PATCH", '{"state": "Ready"}').status == 200
    assert json.loads(guest.ask("/1.0").body)["state"] == "Ready"
    assert "READY" in either("list", guest.name).ok().stdout
    assert config_of(daemon, guest.name)["volatile.last_state.ready"] == "true"
    assert daemon.request("GET", f"/1.0/instances/{guest.name}/state").metadata["status_code"] == 113
    either("exec", guest.name, "--", "true").ok()
    assert guest.ask("/1.0", "PATCH", '{"state": "Started"}').status == 200
    assert "RUNNING" in either("list", guest.name).ok().stdout
    assert guest.ask("/1.0", "PATCH", '{"state": "Ready"}').status == 200
    either("restart", "--force", guest.name).ok()
    assert json.loads(Guest(daemon, guest.name).ask("/1.0").body)["state"] == "Started"


@pytest.mark.parametrize("code", [LINES, FRAMES], ids=["stream", "websocket"])
def test_changes_are_told_inside(daemon: Daemon, launch: Launch, code: str) -> None:
    guest, other = launch({"user.old": "1"}), launch()
    is_stream = code is LINES
    listener = guest.start(code, "/1.0/events", "" if is_stream else UPGRADE)
    only_devices = guest.start(code, "/1.0/events?type=device", "" if is_stream else UPGRADE)
    try:
        assert listener.stdout and only_devices.stdout
        assert json.loads(listener.stdout.readline()) == "listening"
        assert json.loads(only_devices.stdout.readline()) == "listening"
        patch(daemon, other.name, config={"user.foreign": "1"})
        patch(daemon, guest.name, config={"user.old": "2", "limits.processes": "500", "cloud-init.user-data": "x"})
        patch(daemon, guest.name, devices={"x": {"type": "none"}})
        patch(daemon, guest.name, devices={"x": {"type": "disk", "source": "/tmp", "path": "/mnt"}})
        heard = [json.loads(listener.stdout.readline()) for _ in range(4)]
        assert [(event["type"], event["metadata"]) for event in heard[:2]] == [
            ("config", {"key": "user.old", "old_value": "1", "value": "2"}),
            ("device", {"action": "added", "name": "x", "config": {"type": "none"}}),
        ]
        assert [event["metadata"]["action"] for event in heard[2:]] == ["removed", "added"]
        assert heard[3]["metadata"]["config"] == {"type": "disk", "source": "/tmp", "path": "/mnt"}
        assert json.loads(only_devices.stdout.readline())["metadata"]["action"] == "added"
    finally:
        for one in (listener, only_devices):
            one.kill()
            one.communicate()


def test_images_only_where_they_are_allowed(daemon: Daemon, launch: Launch, image: str) -> None:
    guest = launch()
    fingerprint = daemon.request("GET", f"/1.0/images/aliases/{image}").metadata["target"]
    path = f"/1.0/images/{fingerprint}/export"
    assert guest.ask(path).status == 403
    patch(daemon, guest.name, config={"security.devlxd.images": "true"})
    private = guest.ask(path)
    assert (private.status, private.error) == (404, f'Image "{fingerprint}" not found')
    assert daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": True}).status == 200
    try:
        exported = guest.ask(path)
        whole = daemon.request("GET", path)
        assert exported.status == 200
        assert exported.body == whole.body
        assert exported.headers["content-disposition"] == whole.headers["content-disposition"]
        part = guest.ask(path, headers={"Range": "bytes=0-9"})
        assert (part.status, part.body) == (206, whole.body[:10])
    finally:
        daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": False})


def test_it_comes_and_goes_while_the_container_runs(daemon: Daemon, launch: Launch, lxc: Lxc) -> None:
    guest = launch({"security.devlxd": "false"})
    assert not guest.is_reachable()
    for _ in range(2):
        lxc("config", "set", guest.name, "security.devlxd=true").ok()
        assert guest.ask("/").status == 200
        lxc("exec", guest.name, "--", "test", "-S", "/dev/lxd/sock").ok()
        lxc("config", "set", guest.name, "security.devlxd=false").ok()
        assert not guest.is_reachable()
        assert lxc("exec", guest.name, "--", "test", "-e", "/dev/lxd").status == 1, "nothing stays of it"
    lxc("config", "set", guest.name, "security.devlxd=true").ok()
    lxc("restart", "--force", guest.name).ok()
    assert Guest(daemon, guest.name).ask("/").status == 200


def test_a_reboot_inside_keeps_it(daemon: Daemon, launch: Launch, lxc: Lxc) -> None:
    guest = launch()
    assert guest.ask("/1.0", "PATCH", '{"state": "Ready"}').status == 200
    lxc("exec", guest.name, "--", "reboot", "-f")
    path = f"/1.0/instances/{guest.name}/state"
    eventually(lambda: daemon.request("GET", path).metadata["pid"] not in (guest.pid, 0, -1), what="the reboot")
    again = Guest(daemon, guest.name)
    assert json.loads(again.ask("/1.0").body)["state"] == "Started"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_containers_that_run_are_served_by_the_next_daemon(fresh_daemon: Daemon, fresh_image: str, how: str) -> None:
    post = {"name": "c1", "source": {"type": "image", "alias": fresh_image}, "config": CONFIG}
    assert fresh_daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    assert fresh_daemon.operation("PUT", "/1.0/instances/c1/state", {"action": "start"})["err"] == ""
    guest = Guest(fresh_daemon, "c1")
    assert guest.ask("/1.0", "PATCH", '{"state": "Ready"}').status == 200
    getattr(fresh_daemon, how)()
    assert not guest.is_reachable()
    fresh_daemon.start()
    assert guest.ask("/1.0/config/user.foo").body == CONFIG["user.foo"].encode()
    assert json.loads(guest.ask("/1.0").body)["state"] == "Ready"


def test_cloud_init_runs_again_when_what_it_sets_up_changes(daemon: Daemon, name: str, image: str, lxc: Lxc) -> None:
    lxc("init", image, name).ok()
    seen: list[str] = []

    def is_new() -> bool:
        seen.append(config_of(daemon, name)["volatile.cloud-init.instance-id"])
        return seen[-1] not in seen[:-1]

    assert is_new()
    for family in ("cloud-init", "user"):
        for key in ("user-data", "vendor-data", "network-config"):
            lxc("config", "set", name, f"{family}.{key}", "a: 1").ok()
            assert is_new(), key
    for key in ("user.other", "user.meta-data", "limits.processes"):
        lxc("config", "set", name, key, "7").ok()
        assert not is_new(), key
    lxc("config", "device", "add", name, "data", "disk", "source=/tmp", "path=/mnt").ok()
    assert not is_new()
    lxc("config", "device", "override", name, "eth0", "name=eth7").ok()
    assert is_new()
    lxc("profile", "set", "default", "cloud-init.vendor-data", "#!/bin/sh").ok()
    lxc("profile", "unset", "default", "cloud-init.vendor-data").ok()
    assert not is_new(), "its own value hides the profile's"
    lxc("rename", name, f"{name}-2").ok()
    name = f"{name}-2"
    assert is_new()


def test_what_cloud_init_could_not_read_is_refused_at_once(daemon: Daemon, running: str, either: Lxc) -> None:
    either("config", "set", running, "cloud-init.network-config", "x").failed("cannot unmarshal !!str `x` into struct")
    either("config", "set", running, "cloud-init.user-data=#cloud-config\na: [1").failed("did not find expected")
    either("config", "set", running, "cloud-init.user-data=#!/bin/sh\na: [1").ok()
    either("config", "set", running, "user.user-data=#cloud-config\na: [1").ok()
