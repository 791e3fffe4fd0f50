"""The server itself: envelope, server information, operations, events, resources."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time

import pytest
import yaml

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

KEYS = ["type", "status", "status_code", "operation", "error_code", "error", "metadata"]


def test_every_answer_has_the_seven_keys_in_order(daemon: Daemon) -> None:
    for path in ("/", "/1.0", "/1.0/instances", "/1.0/instances/nobody", "/1.0/operations", "/nowhere"):
        assert list(daemon.request("GET", path).envelope) == KEYS, path


def test_the_root_lists_the_version(daemon: Daemon) -> None:
    assert daemon.request("GET", "/").metadata == ["/1.0"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nowhere", 404, "not found"),
        ("GET", "/1.0/nowhere", 404, "not found"),
        ("GET", "/1.0/instances/nobody", 404, "Instance not found"),
        ("GET", "/1.0/images/nothing", 404, "Image not found"),
        ("GET", "/1.0/profiles/nobody", 404, "Profile not found"),
        ("GET", "/1.0/networks/nothing", 404, "Network not found"),
        ("GET", "/1.0/storage-pools/nothing", 404, "Storage pool not found"),
        ("DELETE", "/1.0", 501, "not implemented"),
        ("GET", "/1.0/operations/nothing", 404, "not found"),
    ],
)
def test_an_error_has_lxds_code_and_text(daemon: Daemon, method: str, path: str, status: int, text: str) -> None:
    answer = daemon.request(method, path)
    assert answer.status == status, answer.body
    assert answer.envelope["error_code"] == status
    assert text.lower() in answer.error.lower()


def test_server_information_names_what_it_is(daemon: Daemon) -> None:
    server = daemon.request("GET", "/1.0").metadata
    assert server["api_version"] == "1.0"
    assert server["auth"] == "trusted"
    assert server["environment"]["server"] == "lxd"
    assert "container_exec_recording" in server["api_extensions"]
    assert server["environment"]["storage"]


def test_server_configuration_is_set_and_guarded_by_its_etag(either: Lxc, daemon: Daemon) -> None:
    either("config", "set", "user.note", "x").ok()
    assert either("config", "get", "user.note").ok().stdout == "x\n"
    stale = daemon.request("PUT", "/1.0", {"config": {}}, headers={"If-Match": "0" * 64})
    assert stale.status == 412
    either("config", "set", "no.such.key", "x").failed("unknown key")
    either("config", "unset", "user.note").ok()


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b'{"name": 5}', b'{"source": "text"}', b"\xff\xfe"])
def test_wrong_json_is_a_bad_request(daemon: Daemon, body: bytes) -> None:
    assert daemon.request("POST", "/1.0/instances", body).status == 400


def test_a_body_that_does_not_say_what_it_is_is_json(daemon: Daemon, name: str) -> None:
    body = json.dumps({"name": name, "source": {"type": "none"}}).encode()
    answer = daemon.request("POST", "/1.0/instances", body)
    assert answer.status == 202, answer.body
    daemon.request("GET", f"{answer.envelope['operation']}/wait")


def test_a_body_of_100_megabytes_is_refused(daemon: Daemon) -> None:
    body = b'{"name": "' + b"x" * 100_000_000 + b'"}'
    # The server may hang up without reading it all.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert daemon.request("POST", "/1.0/profiles", body).status in (400, 413)
    assert daemon.request("GET", "/1.0").status == 200


def test_an_operation_is_listed_waited_for_and_forgotten(daemon: Daemon, running: str) -> None:
    body = {"command": ["sleep", "1"], "interactive": False}
    started = daemon.request("POST", f"/1.0/instances/{running}/exec", body)
    url = started.envelope["operation"]
    assert url in daemon.request("GET", "/1.0/operations").metadata["running"]
    assert daemon.request("GET", f"{url}/wait?timeout=0").metadata["status"] == "Running"
    assert daemon.request("GET", f"{url}/wait?timeout=20").metadata["status"] == "Success"
    eventually(lambda: daemon.request("GET", url).status == 404, what="the operation to be forgotten")


def test_events_tell_what_happens(either: Lxc, daemon: Daemon, image: str, name: str) -> None:
    with subprocess.Popen(
        [either.program, "monitor", "--type=lifecycle", "--type=operation", "--format=json"],
        env=either.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as monitor:
        time.sleep(1)  # until the monitor listens, which it does not tell
        either.launch(image, name)
        either("delete", "--force", name).ok()
        time.sleep(0.5)  # the last event's way
        monitor.terminate()
        assert monitor.stdout is not None
        events = [json.loads(line) for line in monitor.stdout.read().splitlines() if line.strip()]
    actions = [
        event["metadata"]["action"]
        for event in events
        if event["type"] == "lifecycle" and event["metadata"]["source"].endswith(f"/{name}")
    ]
    assert [a for a in actions if a in ("instance-created", "instance-started", "instance-deleted")] == [
        "instance-created",
        "instance-started",
        "instance-deleted",
    ]
    assert any(event["type"] == "operation" for event in events)


def test_info_tells_server_and_hardware(either: Lxc) -> None:
    assert yaml.safe_load(either("info").ok().stdout)["environment"]["server"] == "lxd"
    hardware = either("info", "--resources").ok().stdout
    assert "CPU" in hardware
    assert "Memory:" in hardware


def test_query_prints_and_waits(either: Lxc, running: str) -> None:
    assert json.loads(either("query", f"/1.0/instances/{running}").ok().stdout)["name"] == running
    body = json.dumps({"action": "stop", "force": True, "timeout": 30})
    either("query", "--wait", "-X", "PUT", "-d", body, f"/1.0/instances/{running}/state").ok()
    assert either.statuses()[running] == "Stopped"


def test_metadata_describes_every_key(daemon: Daemon) -> None:
    described = daemon.request("GET", "/1.0/metadata/configuration").metadata
    assert "limits.memory" in json.dumps(described)
