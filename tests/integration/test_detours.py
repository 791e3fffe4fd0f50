"""Attack 18: what is refused when it is set is refused by every other way, and nothing of it is left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

Config = dict[str, str]
BAD: list[tuple[Config, dict[str, dict[str, str]], str]] = [
    ({"raw.lxc": "lxc.log.file = /tmp/x"}, {}, "Setting lxc.log.file is not allowed"),
    ({"raw.lxc": "lxc.nonsense = 1"}, {}, "Failed to load config file"),
    ({"environment.A": "x\nlxc.hook.pre-start = /bin/touch"}, {}, "control characters"),
    ({"raw.idmap": "both 0 0"}, {}, "0 is root of the host"),
    ({"security.idmap.size": "4294967296"}, {}, "must be a number between 1"),
    ({"limits.memory": "0"}, {}, "Memory limit can't be 0"),
    ({}, {"d": {"type": "disk", "source": "/proc/self/root", "path": "/mnt"}}, "a link of the kernel's"),
    ({}, {"n": {"type": "unix-char", "source": "/dev/null", "path": "/dev/x", "uid": "4294967295"}}, "UNIX ID"),
    ({}, {"../x": {"type": "none"}}, "Name must not start with"),
]
each = pytest.mark.parametrize(("config", "devices", "text"), BAD, ids=[bad[2] for bad in BAD])


def refusal(daemon: Daemon, method: str, path: str, body: Any) -> str:
    """What is said to a request that does not succeed, at once or as an operation; empty when it does."""
    answer = daemon.request(method, path, body)
    if answer.status == 202:
        return str(daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata["err"])
    return "" if answer.status < 400 else answer.error


@each
def test_18_no_detour_brings_in_what_is_refused(
    daemon: Daemon, running: str, image: str, config: Config, devices: dict[str, dict[str, str]], text: str
) -> None:
    url = f"/1.0/instances/{running}"
    before = daemon.request("GET", url).metadata
    wrong = {"config": {**before["config"], **config}, "devices": {**before["devices"], **devices}}
    other = f"{running}-b"
    source = {"type": "image", "alias": image}
    for method, path, body in (
        ("PUT", url, {**before, **wrong}),
        ("PATCH", url, {"config": config, "devices": devices}),
        ("POST", "/1.0/instances", {"name": other, "source": source, "config": config, "devices": devices}),
        ("POST", "/1.0/instances", {"name": other, "source": {"type": "copy", "source": running}, **wrong}),
        ("POST", "/1.0/instances", {"name": other, "source": {"type": "none"}, "config": config, "devices": devices}),
    ):
        said = refusal(daemon, method, path, body)
        assert text in said, f"{method} {path} {json.dumps(body)[:200]}: {said}"
    after = daemon.request("GET", url).metadata
    assert (after["config"], after["devices"]) == (before["config"], before["devices"])
    assert other not in daemon.instance_names()


@each
def test_18_a_profile_is_no_detour(
    daemon: Daemon, lxc: Lxc, running: str, config: Config, devices: dict[str, dict[str, str]], text: str
) -> None:
    profile = f"p-{running}"
    body = {"name": profile, "config": config, "devices": devices}
    lxc("profile", "create", profile).ok()
    lxc("profile", "add", running, profile).ok()
    try:
        assert text in refusal(daemon, "PUT", f"/1.0/profiles/{profile}", {"config": config, "devices": devices})
        assert text in refusal(daemon, "PATCH", f"/1.0/profiles/{profile}", {"config": config, "devices": devices})
        kept = daemon.request("GET", f"/1.0/profiles/{profile}").metadata
        assert (kept["config"], kept["devices"]) == ({}, {})
        # In a profile that nobody uses, what depends on the host is not looked at; it is when somebody is to use it.
        if refusal(daemon, "POST", "/1.0/profiles", {**body, "name": f"{profile}-b"}) == "":
            url = f"/1.0/instances/{running}"
            assert text in refusal(daemon, "PATCH", url, {"profiles": ["default", f"{profile}-b"]})
            assert daemon.request("GET", url).metadata["profiles"] == ["default", profile]
    finally:
        lxc("profile", "assign", running, "default").ok()
        lxc("profile", "delete", profile).ok()
        lxc("profile", "delete", f"{profile}-b")


def test_18_a_restore_is_no_detour(daemon: Daemon, lxc: Lxc, running: str, image: str) -> None:
    """What was right when a snapshot was taken may be somebody else's by now: the start after the restore says so."""
    lxc("stop", "--force", running).ok()
    lxc("config", "set", running, "security.idmap.isolated=true").ok()
    base = lxc("config", "get", running, "volatile.idmap.base").ok().stdout.strip()
    lxc("config", "set", running, f"security.idmap.base={base}").ok()
    lxc("snapshot", running, "was").ok()
    lxc("config", "unset", running, "security.idmap.base").ok()
    lxc("config", "set", running, "security.idmap.isolated=false").ok()
    other = f"{running}-b"
    lxc("init", image, other, "-c", "security.idmap.isolated=true", "-c", f"security.idmap.base={base}").ok()
    restored = lxc("restore", running, "was")
    started = lxc("start", running)
    assert restored.status != 0 or started.status != 0
    assert other in restored.stderr + started.stderr
