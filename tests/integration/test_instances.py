"""The life of an instance, through each client."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.harness import leaks
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.terminal import Terminal


def test_launch_runs_an_instance_and_delete_leaves_nothing(
    client: Client, daemon: Daemon, image: str, name: str
) -> None:
    client.launch(image, name)
    assert client.statuses()[name] == "Running"
    client.change_state(name, "stop", force=True)
    assert client.statuses()[name] == "Stopped"
    client.delete(name)
    assert name not in client.statuses()
    assert leaks.of_instance(daemon, name) == []


def test_stop_lets_init_end_by_itself(client: Client, running: str) -> None:
    client.change_state(running, "stop")
    assert client.statuses()[running] == "Stopped"


def test_restart_gives_a_new_init(client: Client, daemon: Daemon, running: str) -> None:
    before = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    client.change_state(running, "restart", force=True)
    eventually(lambda: client.statuses()[running] == "Running", what="the instance to run again")
    assert daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"] != before


def test_freeze_stops_every_process_and_unfreeze_lets_them_go_on(client: Client, running: str) -> None:
    client.change_state(running, "freeze")
    assert client.statuses()[running] == "Frozen"
    client.change_state(running, "unfreeze")
    assert client.statuses()[running] == "Running"
    assert client.run(running, "echo", "alive").stdout == "alive\n"


def test_rename_keeps_a_stopped_instance_whole(client: Client, daemon: Daemon, image: str, name: str) -> None:
    client.create(image, name)
    client.rename(name, f"{name}-new")
    try:
        assert client.statuses()[f"{name}-new"] == "Stopped"
        assert name not in client.statuses()
        client.change_state(f"{name}-new", "start")
        assert client.run(f"{name}-new", "hostname").stdout == f"{name}-new\n"
        client.change_state(f"{name}-new", "stop", force=True)
    finally:
        client.delete(f"{name}-new")
    assert leaks.of_instance(daemon, name) == []


def test_a_running_instance_is_not_renamed(client: Client, running: str) -> None:
    with pytest.raises(ClientFailure, match="Renaming of running container not allowed"):
        client.rename(running, f"{running}-new")


def test_a_running_instance_is_not_deleted(client: Client, running: str) -> None:
    with pytest.raises(ClientFailure, match=r"[Ii]nstance is (currently )?running"):
        client.delete(running)
    assert client.statuses()[running] == "Running"


def test_an_ephemeral_instance_is_gone_after_its_stop(client: Client, daemon: Daemon, image: str, name: str) -> None:
    client.launch(image, name, ephemeral=True)
    client.change_state(name, "stop", force=True)
    eventually(lambda: name not in client.statuses(), what="the ephemeral instance to go")
    assert leaks.of_instance(daemon, name) == []


def test_an_ephemeral_instance_is_gone_after_it_ends_by_itself(client: Client, image: str, name: str) -> None:
    client.launch(image, name, ephemeral=True)
    client.run(name, "kill", "-PWR", "1")
    eventually(lambda: name not in client.statuses(), what="the ephemeral instance to go")


def test_a_second_instance_of_the_same_name_is_refused(client: Client, image: str, name: str) -> None:
    client.create(image, name)
    with pytest.raises(ClientFailure, match="already exists"):
        client.create(image, name)
    assert client.statuses()[name] == "Stopped"


@pytest.mark.parametrize("bad", ["my_container", "-c", "c-", "1c", "c" * 64, "c.d", "c/d", "ü"])
def test_a_bad_name_is_refused_before_anything_happens(daemon: Daemon, image: str, bad: str) -> None:
    body = {"name": bad, "source": {"type": "image", "alias": image}}
    answer = daemon.request("POST", "/1.0/instances", body)
    assert answer.status == 400
    assert "Invalid instance name" in answer.error


def test_a_size_by_name_is_refused_and_not_ignored(daemon: Daemon, image: str, name: str) -> None:
    body = {"name": name, "source": {"type": "image", "alias": image}, "instance_type": "c2-m4"}
    answer = daemon.request("POST", "/1.0/instances", body)
    assert (answer.status, "limits.cpu" in answer.error) == (501, True)
    assert daemon.request("GET", f"/1.0/instances/{name}").status == 404


def test_an_instance_without_an_image_is_created_empty(daemon: Daemon, name: str) -> None:
    done = daemon.operation("POST", "/1.0/instances", {"name": name, "source": {"type": "none"}})
    assert done["status"] == "Success", done
    assert daemon.request("GET", f"/1.0/instances/{name}").metadata["status"] == "Stopped"


def test_the_containers_alias_lists_its_own_urls(daemon: Daemon, running: str) -> None:
    assert f"/1.0/containers/{running}" in daemon.request("GET", "/1.0/containers").metadata
    assert f"/1.0/instances/{running}" in daemon.request("GET", "/1.0/instances").metadata
    assert daemon.request("GET", f"/1.0/containers/{running}").metadata["name"] == running


def test_recursion_gives_objects_and_then_their_state(daemon: Daemon, running: str) -> None:
    first = {i["name"]: i for i in daemon.request("GET", "/1.0/instances?recursion=1").metadata}
    assert "state" not in first[running]
    second = {i["name"]: i for i in daemon.request("GET", "/1.0/instances?recursion=2").metadata}
    assert second[running]["state"]["status"] == "Running"
    assert second[running]["state"]["processes"] > 0


def test_a_filter_narrows_the_list(daemon: Daemon, running: str) -> None:
    found = daemon.request("GET", f"/1.0/instances?recursion=1&filter=name%20eq%20{running}").metadata
    assert [instance["name"] for instance in found] == [running]
    assert daemon.request("GET", "/1.0/instances?filter=name%20eq%20nobody").metadata == []


def test_the_state_tells_addresses_counters_and_memory(daemon: Daemon, running: str) -> None:
    def addresses() -> list[str]:
        state = daemon.request("GET", f"/1.0/instances/{running}/state").metadata
        return [a["address"] for a in state["network"]["eth0"]["addresses"] if a["family"] == "inet"]

    eventually(addresses, what="an IPv4 address")
    state = daemon.request("GET", f"/1.0/instances/{running}/state").metadata
    assert state["network"]["eth0"]["counters"]["bytes_received"] > 0
    assert state["network"]["lo"]["state"] == "up"
    assert state["memory"]["usage"] > 0
    assert state["cpu"]["usage"] > 0


def test_control_c_gives_a_stop_up(either: Lxc, daemon: Daemon, running: str) -> None:
    init = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    os.kill(init, signal.SIGSTOP)  # it will not hear of it
    try:
        before = daemon.log.stat().st_size
        terminal = Terminal([str(either.program), "stop", running], either.env)
        # Whoever waits for an operation on a terminal watches the events; before that Ctrl-C ends the client alone.
        eventually(lambda: b"GET /1.0/events" in daemon.log.read_bytes()[before:], what="the client to watch")
        terminal.type("\x03")
        terminal.expect("Remote operation canceled by user")
        assert terminal.end() == 1
        assert daemon.request("GET", f"/1.0/instances/{running}").metadata["status"] == "Running"
    finally:
        os.kill(init, signal.SIGCONT)


def test_a_deleted_instance_leaves_no_descriptor_in_the_daemon(daemon: Daemon, image: str) -> None:
    def sockets() -> int:
        routes = {f"socket:[{line.split()[-1]}]" for line in Path("/proc/net/netlink").read_text().splitlines()}
        found = 0
        for link in Path(f"/proc/{daemon.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += str(link.readlink()) in routes
        return found

    before = sockets()
    for number in range(5):
        url = f"/1.0/instances/t-fd-{number}"
        body = {"name": url.rpartition("/")[2], "source": {"type": "image", "alias": image}}
        assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
        assert daemon.operation("PUT", f"{url}/state", {"action": "start"})["err"] == ""
        assert daemon.request("GET", f"{url}/state").metadata["network"]["eth0"]
        assert daemon.operation("PUT", f"{url}/state", {"action": "stop", "force": True})["err"] == ""
        assert daemon.operation("DELETE", url)["err"] == ""
    eventually(lambda: sockets() <= before, what="the sockets to be closed")
