"""Rows F1-F8: profiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from lightervisor.kernel import modules
from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell

DOCKER = """\
name: docker
description: Profile supporting docker in containers
config:
  linux.kernel_modules: overlay, nf_nat
  security.nesting: "true"
devices:
  aadisable:
    path: /sys/module/apparmor/parameters/enabled
    source: /dev/null
    type: disk
  fuse:
    path: /dev/fuse
    type: unix-char
"""


@pytest.fixture
def profile(daemon: Daemon, name: str) -> Iterator[str]:
    """A profile name; it is deleted when the test made it."""
    yield f"p-{name}"
    daemon.request("DELETE", f"/1.0/profiles/p-{name}")


def test_f1_list(shell: Shell) -> None:
    text = shell("lxc profile list").ok().stdout
    assert [word.strip() for word in text.splitlines()[1].strip("| ").split("|")] == ["NAME", "DESCRIPTION", "USED BY"]
    assert "| default " in text


def test_f2_create_and_the_same_again(shell: Shell, profile: str) -> None:
    assert shell(f"lxc profile create {profile}").ok().stdout == f"Profile {profile} created\n"
    shell(f"lxc profile create {profile}").failed("The profile already exists")


def test_f3_show(shell: Shell) -> None:
    shown = yaml.safe_load(shell("lxc profile show default").ok().stdout)
    assert set(shown) == {"config", "description", "devices", "name", "used_by"}


def test_f4_edit_from_standard_input(shell: Shell, profile: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile edit {profile}", stdin="config: {user.a: '1'}\ndescription: d\ndevices: {}\n").ok()
    assert yaml.safe_load(shell(f"lxc profile show {profile}").ok().stdout)["config"] == {"user.a": "1"}


def test_f5_delete_only_what_nobody_uses(shell: Shell, profile: str, running: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile add {running} {profile}").ok()
    shell(f"lxc profile delete {profile}").failed("Error: Profile is currently in use")
    shell(f"lxc profile remove {running} {profile}").ok()
    assert shell(f"lxc profile delete {profile}").ok().stdout == f"Profile {profile} deleted\n"
    shell("lxc profile delete default").failed()


def test_f6_the_docker_profile_is_accepted(shell: Shell, profile: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile edit {profile}", stdin=DOCKER).ok()
    shown = yaml.safe_load(shell(f"lxc profile show {profile}").ok().stdout)
    assert shown["config"]["linux.kernel_modules"] == "overlay, nf_nat"
    assert shown["devices"]["aadisable"]["source"] == "/dev/null"
    assert shown["devices"]["fuse"]["type"] == "unix-char"


def has_module(name: str) -> bool:
    """Whether the kernel has a module inside, or one to load: the virtual machine's."""
    tried = shutil.which("modprobe") and subprocess.run(["modprobe", "--dry-run", name], capture_output=True)
    return modules.is_built_in(name) or bool(tried and tried.returncode == 0)


@pytest.mark.skipif(not has_module("nf_nat"), reason="this kernel has no nf_nat, and no module of it")
def test_f6_a_container_starts_with_the_docker_profile(shell: Shell, profile: str, image: str, name: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile edit {profile}", stdin=DOCKER).ok()
    shell(f"lxc launch {image} {name} -p default -p {profile}").ok()
    assert shell(f"lxc exec {name} -- stat -c %F /dev/fuse").ok().stdout == "character special file\n"
    shown = shell(f"lxc exec {name} -- cat /sys/module/apparmor/parameters/enabled").stdout
    assert shown == "", "Docker must not find AppArmor"
    shell(f"lxc restart --force {name} && lxc delete --force {name}").ok()


def test_f7_apply_says_what_it_applied(shell: Shell, profile: str, running: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    done = shell(f"lxc profile apply {running} default,{profile}").ok()
    assert done.stdout == f"Profiles default,{profile} applied to {running}\n"
    shell(f"lxc profile apply {running} default").ok()


def test_f8_the_instance_overrides_its_profiles(shell: Shell, profile: str, running: str) -> None:
    shell(f"lxc profile create {profile}").ok()
    shell(f"lxc profile set {profile} user.who profile").ok()
    shell(f"lxc profile add {running} {profile}").ok()
    shell(f"lxc config set {running} user.who instance").ok()
    shown = yaml.safe_load(shell(f"lxc config show --expanded {running}").ok().stdout)
    assert shown["config"]["user.who"] == "instance"
    shell(f"lxc profile apply {running} default").ok()
