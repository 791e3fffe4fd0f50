"""Rows C7 to C10 and C12: launching."""

from __future__ import annotations

import re

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.seeds.conftest import Shell


def test_c7_launch_by_a_short_fingerprint(shell: Shell, lxc: Lxc, image: str, name: str) -> None:
    fingerprint = next(fp for fp, names in lxc.images().items() if image in names)
    done = shell(f"lxc launch {fingerprint[:12]} {name}").ok()
    assert f"Creating {name}" in done.stdout
    assert f"Starting {name}" in done.stdout


def test_c8_launch_by_a_local_alias(shell: Shell, lxc: Lxc, image: str, name: str) -> None:
    shell(f"lxc image alias create 15.10 {next(fp for fp, names in lxc.images().items() if image in names)}").ok()
    done = shell(f"lxc launch 15.10 {name}")
    shell("lxc image alias delete 15.10").ok()
    done.ok()
    assert lxc.statuses()[name] == "Running"


def test_c9_two_profiles_are_applied_in_their_order(shell: Shell, lxc: Lxc, image: str, name: str) -> None:
    fingerprint = next(fp for fp, names in lxc.images().items() if image in names)
    shell(f"lxc image alias create xenial {fingerprint} && lxc profile create docker").ok()
    try:
        shell("lxc profile set docker user.last docker && lxc profile set docker environment.SEEN docker").ok()
        shell(f"lxc launch xenial {name} -p default -p docker").ok()
        shown = shell(f"lxc config show {name} --expanded").ok().stdout
        assert shell(f"lxc exec {name} -- sh -c 'echo $SEEN'").ok().stdout == "docker\n"
    finally:
        shell(f"lxc delete --force {name}; lxc profile delete docker; lxc image alias delete xenial").ok()
    assert "user.last: docker" in shown
    assert shown.index("- default") < shown.index("- docker")


def test_c10_launch_go_in_and_change_something(shell: Shell, image: str, name: str) -> None:
    shell(f"lxc launch {image} {name}").ok()
    shell(f"lxc exec {name} -- sh -c 'echo changed >/etc/motd'").ok()
    shell(f"lxc restart --force {name}").ok()
    assert shell(f"lxc exec {name} cat /etc/motd").ok().stdout == "changed\n"


def test_c12_without_a_name_one_is_chosen_and_told(shell: Shell, daemon: Daemon, image: str) -> None:
    done = shell(f"lxc launch {image}").ok()
    chosen = re.search(r"Instance name is: ([a-z]+-[a-z]+)", done.stdout)
    assert chosen, done.stdout
    eventually(lambda: chosen[1] in daemon.instance_names(), what="the instance")
    shell(f"lxc delete --force {chosen[1]}").ok()
