"""Profiles, and what they do to the instances that use them."""

from __future__ import annotations

import pytest
import yaml

from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc


def test_a_profile_is_made_listed_and_deleted(client: Client, name: str) -> None:
    client.create_profile(name, {"user.note": "x"})
    assert name in client.profiles()
    client.delete_profile(name)
    assert name not in client.profiles()


def test_a_profile_of_the_same_name_is_refused(client: Client, name: str) -> None:
    client.create_profile(name, {})
    with pytest.raises(ClientFailure, match="already exists"):
        client.create_profile(name, {})
    client.delete_profile(name)


def test_the_default_profile_stays(client: Client) -> None:
    with pytest.raises(ClientFailure, match="default"):
        client.delete_profile("default")
    assert "default" in client.profiles()


def test_a_used_profile_is_not_deleted_and_reaches_the_running_instance(either: Lxc, running: str, name: str) -> None:
    profile = f"p-{name}"
    either("profile", "create", profile).ok()
    try:
        assert either("profile", "add", running, profile).ok().stdout == f"Profile {profile} added to {running}\n"
        either("profile", "set", profile, "limits.memory", "64MiB").ok()
        told = either("exec", running, "--", "grep", "MemTotal", "/proc/meminfo").ok().stdout.split()[1]
        assert int(told) == 64 * 1024
        either("profile", "delete", profile).failed("Profile is currently in use")
        removed = either("profile", "remove", running, profile).ok()
        assert removed.stdout == f"Profile {profile} removed from {running}\n"
    finally:
        either("profile", "assign", running, "default")
        either("profile", "delete", profile).ok()


def test_show_and_edit(either: Lxc, name: str) -> None:
    either("profile", "create", name).ok()
    text = yaml.safe_dump({"config": {"user.a": "1"}, "description": "edited", "devices": {}})
    either("profile", "edit", name, stdin=text).ok()
    shown = yaml.safe_load(either("profile", "show", name).ok().stdout)
    either("profile", "delete", name).ok()
    assert (shown["description"], shown["config"], shown["name"]) == ("edited", {"user.a": "1"}, name)


def test_the_last_profile_and_then_the_instance_win(either: Lxc, image: str, name: str) -> None:
    for word in ("one", "two"):
        either("profile", "create", f"{name}-{word}").ok()
        either("profile", "set", f"{name}-{word}", "user.who", word).ok()
        either("profile", "set", f"{name}-{word}", f"user.{word}", "set").ok()
    either("init", image, name, "-p", "default", "-p", f"{name}-one", "-p", f"{name}-two").ok()
    assert either("config", "get", "--expanded", name, "user.who").ok().stdout == "two\n"
    either("config", "set", name, "user.who=me").ok()
    assert either("config", "get", "--expanded", name, "user.who").ok().stdout == "me\n"
    either("delete", name).ok()
    for word in ("one", "two"):
        either("profile", "delete", f"{name}-{word}").ok()


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            ("raw.seccomp=2", "security.syscalls.deny=mkdir"),
            "raw.seccomp is mutually exclusive with security.syscalls*",
        ),
        (
            ("security.syscalls.allow=read", "security.syscalls.blacklist=mkdir"),
            "security.syscalls.allow is mutually exclusive with security.syscalls.deny*",
        ),
        (
            ("nvidia.runtime=true", "security.privileged=true"),
            "nvidia.runtime is incompatible with privileged containers",
        ),
    ],
)
def test_keys_that_exclude_each_other_are_refused_before_anybody_uses_them(
    lxc: Lxc, name: str, keys: tuple[str, str], text: str
) -> None:
    lxc("profile", "create", name).ok()
    lxc("profile", "set", name, keys[0]).ok()
    lxc("profile", "set", name, keys[1]).failed(f"Error: {text}")
    lxc("profile", "delete", name).ok()
