"""Configuration keys of an instance, and what they do to it while it runs."""

from __future__ import annotations

import pytest
import yaml

from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def test_a_key_that_was_set_is_read_back(client: Client, running: str) -> None:
    client.set_config(running, "user.note", "with = signs, and\ttabs")
    assert client.config(running)["user.note"] == "with = signs, and\ttabs"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("no.such.key", "1"),
        ("volatile.uuid", "x"),
        ("limits.memory", "much"),
        ("boot.autostart", "perhaps"),
        ("security.privileged", "2"),
    ],
)
def test_a_bad_key_or_value_is_refused_and_changes_nothing(client: Client, running: str, key: str, value: str) -> None:
    with pytest.raises(ClientFailure):
        client.set_config(running, key, value)
    assert client.config(running).get(key) != value


@pytest.mark.parametrize("value", ["two\nlines", "nul\0"])
def test_a_value_that_would_break_out_of_its_line_is_refused_or_kept_whole(
    daemon: Daemon, running: str, value: str
) -> None:
    answer = daemon.request("PATCH", f"/1.0/instances/{running}", {"config": {"environment.X": value}})
    assert answer.status >= 400


def test_set_get_unset_and_show(either: Lxc, running: str) -> None:
    either("config", "set", running, "user.a", "one").ok()
    either("config", "set", running, "user.b=two", "user.c=three").ok()
    assert either("config", "get", running, "user.a").ok().stdout == "one\n"
    either("config", "unset", running, "user.a").ok()
    assert either("config", "get", running, "user.a").ok().stdout == "\n"
    either("config", "unset", running, "user.a").failed("Can't unset key 'user.a', it's not currently set")
    shown = yaml.safe_load(either("config", "show", running).ok().stdout)
    assert (shown["config"]["user.b"], shown["config"]["user.c"]) == ("two", "three")


def test_edit_takes_yaml_from_standard_input(either: Lxc, running: str) -> None:
    shown = yaml.safe_load(either("config", "show", running).ok().stdout)
    shown["config"]["user.edited"] = "yes"
    either("config", "edit", running, stdin=yaml.safe_dump(shown)).ok()
    assert either("config", "get", running, "user.edited").ok().stdout == "yes\n"
    either("config", "edit", running, stdin="[}").failed()


def test_memory_limit_applies_to_the_running_instance(client: Client, running: str) -> None:
    client.set_config(running, "limits.memory", "64MiB")
    told = client.run(running, "sh", "-c", "grep MemTotal /proc/meminfo").stdout.split()[1]
    assert int(told) == 64 * 1024, "lxcfs shows the limit"


def test_processor_limit_applies_to_the_running_instance(client: Client, running: str) -> None:
    client.set_config(running, "limits.cpu", "1")
    assert client.run(running, "nproc").stdout.strip() == "1"


def test_process_limit_stops_a_fork_bomb(client: Client, running: str) -> None:
    client.set_config(running, "limits.processes", "20")
    ran = client.run(running, "sh", "-c", "for i in $(seq 60); do sleep 3 & done; wait")
    assert "fork" in ran.stderr.lower()


def test_environment_reaches_commands(client: Client, running: str) -> None:
    client.set_config(running, "environment.GREETING", "hello world")
    assert client.run(running, "sh", "-c", "echo $GREETING").stdout == "hello world\n"


def test_a_device_appears_and_goes_while_running(either: Lxc, daemon: Daemon, running: str) -> None:
    source = daemon.state / f"shared-{running}"
    source.mkdir(exist_ok=True)
    (source / "note").write_text("from the host")
    added = either("config", "device", "add", running, "shared", "disk", f"source={source}", "path=/mnt/shared").ok()
    assert added.stdout == f"Device shared added to {running}\n"
    assert either("exec", running, "--", "cat", "/mnt/shared/note").ok().stdout == "from the host"
    assert either("config", "device", "list", running).ok().stdout == "shared\n"
    removed = either("config", "device", "remove", running, "shared").ok()
    assert removed.stdout == f"Device shared removed from {running}\n"
    assert either("exec", running, "--", "cat", "/mnt/shared/note").status != 0
    (source / "note").unlink()
    source.rmdir()


def test_a_network_card_is_masked_by_none(either: Lxc, running: str) -> None:
    either("config", "device", "add", running, "eth0", "none").ok()
    eventually(
        lambda: either("exec", running, "--", "ip", "link", "show", "eth0").status != 0, what="the interface to go"
    )


def test_etag_guards_a_change(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}"
    seen = daemon.request("GET", url)
    body = {"config": {**seen.metadata["config"], "user.a": "1"}, "profiles": ["default"], "devices": {}}
    body["architecture"] = seen.metadata["architecture"]
    stale = daemon.request("PUT", url, body, headers={"If-Match": "0" * 64})
    assert stale.status == 412
    assert "ETag doesn't match" in stale.error
    accepted = daemon.request("PUT", url, body, headers={"If-Match": seen.headers["etag"]})
    assert accepted.status == 202
    assert daemon.request("GET", f"{accepted.envelope['operation']}/wait").metadata["status"] == "Success"


def test_a_snapshot_of_the_expanded_configuration_shows_the_profile(either: Lxc, running: str) -> None:
    own = yaml.safe_load(either("config", "show", running).ok().stdout)
    expanded = yaml.safe_load(either("config", "show", running, "--expanded").ok().stdout)
    assert own["devices"] == {}
    assert set(expanded["devices"]) == {"eth0", "root"}


def test_a_change_that_waits_for_a_start_keeps_what_the_start_noted(daemon: Daemon, image: str, name: str) -> None:
    source = {"type": "image", "alias": image}
    assert daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})["err"] == ""
    url = f"/1.0/instances/{name}"
    body = {"config": {"user.note": "new"}, "profiles": ["default"]}
    started = daemon.request("PUT", f"{url}/state", {"action": "start"})
    changed = daemon.request("PUT", url, body)
    for answer in (started, changed):
        assert daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata["err"] == ""
    config = daemon.request("GET", url).metadata["config"]
    assert (config["user.note"], config["volatile.last_state.power"]) == ("new", "RUNNING")
    assert "volatile.eth0.host_name" in config


def test_volatile_keys_are_the_daemons_and_can_be_deleted_by_who_knows_them(
    daemon: Daemon, lxc: Lxc, either: Lxc, image: str, name: str
) -> None:
    lxc("init", image, name).ok()
    lxc("start", name).ok()
    lxc("stop", "--force", name).ok()
    address = either.config(name)["volatile.eth0.hwaddr"]
    either("config", "set", name, "volatile.eth0.hwaddr=00:16:3e:11:22:33").ok()
    assert either.config(name)["volatile.eth0.hwaddr"] == "00:16:3e:11:22:33"
    either("config", "set", name, "volatile.eth0.hwaddr=x").failed("Invalid MAC address")
    either("config", "unset", name, "volatile.eth0.hwaddr").ok()
    assert "volatile.eth0.hwaddr" not in either.config(name)
    either("config", "unset", name, "volatile.idmap.next").failed("Volatile idmap keys can't be deleted by the user")
    either("config", "set", name, "volatile.nothing=1").failed("Unknown configuration key: volatile.nothing")
    before = either.config(name)
    body = {"config": {"user.a": "1"}, "profiles": ["default"]}
    assert daemon.operation("PUT", f"/1.0/instances/{name}", body)["err"] == ""
    assert either.config(name) == {key: value for key, value in before.items() if "volatile." in key} | {"user.a": "1"}
    lxc("start", name).ok()
    assert either.config(name)["volatile.eth0.hwaddr"] not in (address, "00:16:3e:11:22:33")
