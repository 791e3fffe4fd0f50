"""A changed profile reaches every running instance that uses it, or none when one of them cannot follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightervisor.kernel import cgroup
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.integration.test_limits import limit, needs_v1

MIB = 1 << 20
FILL = "mkdir /big && mount -t tmpfs none /big && dd if=/dev/zero of=/big/x bs=1M count=60 2>/dev/null"


class Shared:
    """A profile and three running instances that use it."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon, self.profile, self.names = daemon, f"p-{name}", [f"{name}-{one}" for one in "abc"]

    def put(self, config: dict[str, str], devices: dict[str, dict[str, str]] | None = None) -> str:
        """Replace the profile's content; the error, empty when there is none."""
        body = {"config": config, "devices": devices or {}, "description": ""}
        answer = self.daemon.request("PUT", f"/1.0/profiles/{self.profile}", body)
        return answer.error if answer.status >= 400 else ""

    def seen(self) -> dict[str, Any]:
        """What can be seen of profile and instances from outside."""
        state: dict[str, Any] = dict(self.daemon.request("GET", f"/1.0/profiles/{self.profile}").metadata)
        for name in self.names:
            shown = self.daemon.request("GET", f"/1.0/instances/{name}").metadata
            files = {
                file: limit(self.daemon, name, file) for file in ("memory.limit_in_bytes", "pids.max", "cpuset.cpus")
            }
            mounts = Path(f"/proc/{self._pid(name)}/mounts").read_text().count(" /mnt/")
            state[name] = (shown["expanded_config"], shown["expanded_devices"], files, mounts)
        return state

    def _pid(self, name: str) -> int:
        return self.daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


@pytest.fixture
def shared(daemon: Daemon, image: str, name: str, lxc: Lxc) -> Iterator[Shared]:
    """Three instances with one profile."""
    shared = Shared(daemon, name)
    lxc("profile", "create", shared.profile).ok()
    for one in shared.names:
        lxc("launch", image, one, "-p", "default", "-p", shared.profile).ok()
    yield shared
    for one in shared.names:
        lxc("profile", "assign", one, "default")
    lxc("profile", "delete", shared.profile).ok()


def test_what_pools_tell_of_the_users_is_up_to_date(shared: Shared) -> None:
    """What `lxd recover` knows of a profile is in there."""
    assert shared.put({"user.note": "new"}) == ""
    for name in shared.names:
        place = shared.daemon.state / f"storage-pools/default/containers/{name}/backup.yaml"
        told = yaml.safe_load(place.read_text())
        assert told["container"]["expanded_config"]["user.note"] == "new"
        assert [one["config"] for one in told["profiles"] if one["name"] == shared.profile] == [{"user.note": "new"}]


@needs_v1
def test_every_user_follows_and_goes_back(daemon: Daemon, shared: Shared, either: Lxc) -> None:
    before = shared.seen()
    either("profile", "set", shared.profile, "limits.memory", "64MiB").ok()
    either("profile", "set", shared.profile, "limits.processes=77").ok()
    either("profile", "device", "add", shared.profile, "tmp", "disk", "source=/tmp", "path=/mnt/host").ok()
    for name in shared.names:
        assert limit(daemon, name, "memory.limit_in_bytes") == str(64 * MIB)
        assert limit(daemon, name, "pids.max") == "77"
        assert either("exec", name, "--", "grep", "-q", " /mnt/host ", "/proc/mounts").status == 0
    either("profile", "device", "remove", shared.profile, "tmp").ok()
    either("profile", "unset", shared.profile, "limits.memory").ok()
    either("profile", "unset", shared.profile, "limits.processes").ok()
    assert shared.seen() == before


@needs_v1
@pytest.mark.parametrize("device_fails", [False, True], ids=["limit", "device"])
def test_one_that_cannot_follow_stops_all(shared: Shared, lxc: Lxc, device_fails: bool) -> None:
    assert shared.put({"limits.memory": "200MiB", "user.a": "1"}) == ""
    last = shared.names[-1]
    if device_fails:
        # A file stands where the directory has to be mounted.
        lxc("exec", last, "--", "sh", "-c", "mkdir -p /mnt && : >/mnt/host").ok()
        config, devices = {"limits.memory": "100MiB"}, {"d": {"type": "disk", "source": "/tmp", "path": "/mnt/host"}}
    else:
        lxc("exec", last, "--", "sh", "-c", FILL).ok()
        config, devices = {"limits.processes": "99", "limits.memory": "20MiB"}, {}
    before = shared.seen()
    error = shared.put({**config, "user.a": "2"}, devices)
    assert ("refused" in error) if not device_fails else ("Failed to start device" in error), error
    assert shared.seen() == before
    assert before["config"] == {"limits.memory": "200MiB", "user.a": "1"}
    assert shared.put({}) == ""


@needs_v1
def test_what_one_user_may_not_have_is_refused_before_anything_is_done(shared: Shared, lxc: Lxc) -> None:
    lxc("config", "set", shared.names[1], "security.syscalls.allow=read").ok()
    before = shared.seen()
    assert "mutually exclusive" in shared.put({"security.syscalls.deny": "mkdir", "limits.processes": "5"})
    assert shared.seen() == before
    lxc("config", "unset", shared.names[1], "security.syscalls.allow").ok()


@needs_v1
def test_the_limits_are_what_is_stored_after_a_crash(fresh_daemon: Daemon, fresh_image: str) -> None:
    daemon = fresh_daemon
    body = {"name": "c", "source": {"type": "image", "alias": fresh_image}, "config": {"limits.memory": "64MiB"}}
    assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    assert daemon.operation("PUT", "/1.0/instances/c/state", {"action": "start"})["err"] == ""
    pid = daemon.request("GET", "/1.0/instances/c/state").metadata["pid"]
    group = cgroup.payload(pid, "c")["memory"]
    daemon.kill()
    # As when it died between storing a change and telling the kernel.
    (group / "memory.memsw.limit_in_bytes").write_text(str(128 * MIB))
    (group / "memory.limit_in_bytes").write_text(str(96 * MIB))
    daemon.start()
    assert limit(daemon, "c", "memory.limit_in_bytes") == str(64 * MIB)


def test_commands_in_both_spellings(either: Lxc, running: str, name: str) -> None:
    one, two = f"{name}-1", f"{name}-2"
    assert either("profile", "create", one).ok().stdout == f"Profile {one} created\n"
    either("profile", "copy", one, two).ok()
    either("profile", "cp", one, f"{name}-3").ok()
    assert (
        either("profile", "rename", f"{name}-3", f"{name}-4").ok().stdout == f"Profile {name}-3 renamed to {name}-4\n"
    )
    either("profile", "mv", f"{name}-4", f"{name}-5").ok()
    assert either("profile", "rm", f"{name}-5").ok().stdout == f"Profile {name}-5 deleted\n"
    for word in ("apply", "assign"):
        done = either("profile", word, running, f"default,{one}").ok()
        assert done.stdout == f"Profiles default,{one} applied to {running}\n"
    assert either("profile", "add", running, two).ok().stdout == f"Profile {two} added to {running}\n"
    assert f"- /1.0/instances/{running}\n" in either("profile", "show", two).ok().stdout
    row = next(line for line in either("profile", "ls", "-f", "csv").ok().stdout.splitlines() if line.startswith(two))
    assert row.split(",")[-1] == "1"
    either("profile", "add", running, two).failed()
    either("profile", "set", two, "user.a", "old form").ok()
    either("profile", "set", two, "user.b=1", "user.c=2").ok()
    assert either("profile", "get", two, "user.a").ok().stdout == "old form\n"
    assert either("config", "get", "--expanded", running, "user.c").ok().stdout == "2\n"
    either("profile", "unset", two, "user.b").ok()
    either("profile", "set", two, "limits.memry", "1").failed("Unknown configuration key: limits.memry")
    either("profile", "set", two, "volatile.uuid", "x").failed("Volatile keys can only be set on instances")
    either("profile", "set", two, "image.os", "x").failed("Image keys can only be set on instances")
    either("profile", "set", two, "security.secureboot", "false").ok()
    assert either("profile", "remove", running, two).ok().stdout == f"Profile {two} removed from {running}\n"
    either("profile", "remove", running, two).failed(f"Profile {two} isn't currently applied to {running}")
    either("profile", "delete", one).failed("Profile is currently in use")
    either("profile", "delete", f"{name}-9").failed("Error: Profile not found")
    either("profile", "assign", running, f"default,{name}-9").failed("Error: Profile not found (lxc profile list)")
    either("profile", "assign", running, "default").ok()
    for profile in (one, two):
        either("profile", "delete", profile).ok()
