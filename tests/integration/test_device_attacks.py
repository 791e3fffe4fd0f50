"""Attacks 21 to 24: disks, device nodes, ports and nics that are to reach, or to break, what is the host's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

USER = 12345


@pytest.fixture
def folder(vault: Path) -> Iterator[Path]:
    """A user's directory on the host."""
    made = vault / "users"
    made.mkdir(mode=0o755)
    os.chown(made, USER, USER)
    yield made
    processes.run(["rm", "-rf", made]).ok()


def devices(lxc: Lxc, name: str) -> list[str]:
    return lxc("config", "device", "list", name).ok().stdout.split()


@pytest.mark.parametrize("path", ["/proc", "/sys", "/dev", "/proc/sys", "/dev/pts", "/dev/lxd"])
def test_21_a_disk_over_what_the_kernel_shows_opens_nothing(
    daemon: Daemon, lxc: Lxc, image: str, name: str, folder: Path, path: str
) -> None:
    """Whether it starts or not: the host's files there stay out of reach, and it can be stopped and deleted."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    lxc("init", image, name).ok()
    added = lxc("config", "device", "add", name, "d", "disk", f"source={folder}", f"path={path}")
    if added.status == 0:
        started = lxc("start", name)
        if started.status == 0:
            script = "mount -t proc none /mnt; for f in /proc /mnt; do echo x >$f/sys/kernel/core_pattern; done"
            lxc("exec", name, "--", "sh", "-c", script)
            lxc("stop", "--force", name).ok()
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    lxc("delete", name).ok()


def test_21_mounts_of_the_guest_stay_inside(lxc: Lxc, running: str, folder: Path) -> None:
    lxc("config", "device", "add", running, "d", "disk", f"source={folder}", "path=/mnt", "shift=true").ok()
    (folder / "sub").mkdir()
    lxc("exec", running, "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt/sub").ok()
    assert f" {folder}/sub " not in Path("/proc/self/mountinfo").read_text()
    lxc("config", "device", "remove", running, "d").ok()
    assert list((folder / "sub").iterdir()) == []


@pytest.mark.parametrize("inside", ["/proc/self/root", "/proc/self/cwd", "/proc/self/fd/0"])
def test_21_no_link_of_the_kernels_is_a_source(lxc: Lxc, running: str, inside: str) -> None:
    """It leads where its process is, not where it is read."""
    added = lxc("config", "device", "add", running, "d", "disk", f"source={inside}", "path=/mnt")
    added.failed("a link of the kernel's")
    assert devices(lxc, running) == []


@pytest.mark.parametrize("kind", ["unix-char", "unix-block"])
def test_22_no_user_swaps_the_device_behind_a_link(lxc: Lxc, running: str, folder: Path, kind: str) -> None:
    place = folder / "tty"
    place.symlink_to("/dev/null")
    os.chown(place, USER, USER, follow_symlinks=False)
    added = lxc("config", "device", "add", running, "n", kind, f"source={place}", "path=/dev/n")
    added.failed(f"a link of user {USER} leads to what belongs to user 0")
    assert devices(lxc, running) == []


def test_22_a_link_of_roots_leads_to_its_device(lxc: Lxc, running: str, vault: Path) -> None:
    place = vault / "null"
    place.symlink_to("/dev/null")
    lxc("config", "device", "add", running, "n", "unix-char", f"source={place}", "path=/dev/n").ok()
    assert lxc("exec", running, "--", "stat", "-c", "%t:%T", "/dev/n").ok().stdout == "1:3\n"


@pytest.mark.parametrize("device", ["a/b", "../x", ".x", "a\nb", "", "x" * 65, "é"])
def test_22_a_device_is_named_as_a_file_can_be(daemon: Daemon, running: str, device: str) -> None:
    body = {"devices": {device: {"type": "unix-char", "source": "/dev/null", "path": "/dev/n"}}}
    answer = daemon.request("PATCH", f"/1.0/instances/{running}", body)
    assert answer.status == 400, answer.body
    assert not list((daemon.state / "devices").glob(f"{running}/unix*"))


@pytest.mark.parametrize("bind", ["host", "instance"])
def test_23_all_ports_at_once_are_refused_when_one_is_taken(daemon: Daemon, lxc: Lxc, running: str, bind: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "nc -l -p 40000 -s 127.0.0.1 >/dev/null 2>&1 & sleep 0.1").ok()
    before = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
    options = ["listen=tcp:127.0.0.1:1-65535", "connect=tcp:127.0.0.1:1-65535", f"bind={bind}"]
    added = lxc("config", "device", "add", running, "p", "proxy", *options)
    added.failed("Error occurred when starting proxy device")
    assert devices(lxc, running) == []
    assert not list((daemon.state / "devices").glob(f"{running}/proxy*"))
    assert len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) <= before


def test_24_an_interface_of_the_host_is_not_taken_over(daemon: Daemon, lxc: Lxc, running: str) -> None:
    before = (Path("/sys/class/net") / daemon.bridge / "ifindex").read_text()
    taken = lxc("config", "device", "override", running, "eth0", f"host_name={daemon.bridge}")
    assert taken.status != 0 and daemon.bridge in taken.stderr, taken.stderr
    assert (Path("/sys/class/net") / daemon.bridge / "ifindex").read_text() == before
    lxc("exec", running, "--", "true").ok()
