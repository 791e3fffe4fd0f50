"""Devices of the host inside: unix-char and unix-block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

BLOCK = Path("/dev/vda")


@pytest.fixture(scope="module")
def box(module_lxc: Lxc, image: str) -> Iterator[str]:
    """A running container."""
    module_lxc("launch", image, "nodes").ok()
    yield "nodes"
    module_lxc("delete", "--force", "nodes").ok()


def shown(lxc: Lxc, name: str, path: str) -> str:
    return lxc("exec", name, "--", "stat", "-c", "%F %t:%T %u:%g %a", path).ok().stdout.strip()


def host_side(daemon: Daemon, name: str) -> list[str]:
    folder = daemon.state / "devices" / name
    return sorted(entry.name for entry in folder.glob("unix.*")) if folder.is_dir() else []


def test_a_node_comes_and_goes_while_running(lxc: Lxc, daemon: Daemon, box: str) -> None:
    lxc("config", "device", "add", box, "nil", "unix-char", "source=/dev/null", "path=/dev/nil", "mode=0640").ok()
    assert shown(lxc, box, "/dev/nil") == "character special file 1:3 0:0 640"
    assert lxc("exec", box, "--", "sh", "-c", "echo gone >/dev/nil").status == 0
    lxc("config", "device", "remove", box, "nil").ok()
    assert lxc("exec", box, "--", "sh", "-c", "mount | grep -c /dev/nil").stdout.strip() == "0"
    assert lxc("exec", box, "--", "test", "-e", "/dev/nil").status == 1, "nothing stays of it"
    assert host_side(daemon, box) == []


def test_a_node_is_there_after_a_start_and_gone_after_a_stop(lxc: Lxc, daemon: Daemon, box: str) -> None:
    lxc("config", "device", "add", box, "seven", "unix-char", "path=/dev/seven", "major=1", "minor=7", "uid=7").ok()
    lxc("restart", "--force", box).ok()
    assert shown(lxc, box, "/dev/seven") == "character special file 1:7 7:0 660"
    lxc("stop", "--force", box).ok()
    assert host_side(daemon, box) == []
    lxc("config", "device", "remove", box, "seven").ok()
    lxc("start", box).ok()


@pytest.mark.skipif(not BLOCK.is_block_device(), reason="this host has no such disk")
def test_a_block_device_is_one_inside(lxc: Lxc, box: str) -> None:
    lxc("config", "device", "add", box, "disk", "unix-block", f"source={BLOCK}", "path=/dev/disk0").ok()
    assert shown(lxc, box, "/dev/disk0").startswith("block special file ")
    lxc("config", "device", "remove", box, "disk").ok()


def test_a_privileged_container_may_open_it_as_long_as_it_has_it(lxc: Lxc, image: str) -> None:
    name = "nodes-priv"
    lxc("init", image, name, "--config", "security.privileged=true").ok()
    lxc("config", "device", "add", name, "kmsg", "unix-char", "source=/dev/kmsg", "path=/dev/messages").ok()
    lxc("start", name).ok()
    assert lxc("exec", name, "--", "sh", "-c", "exec 3</dev/messages").status == 0
    lxc("exec", name, "--", "mknod", "/root/own", "c", "1", "11").ok()
    reads = ["exec", name, "--", "sh", "-c", "exec 3</root/own"]
    lxc(*reads).ok()
    lxc("config", "device", "add", name, "twice", "unix-char", "source=/dev/kmsg", "path=/dev/more").ok()
    lxc("config", "device", "remove", name, "twice").ok()
    lxc(*reads).ok()
    lxc("config", "device", "remove", name, "kmsg").ok()
    lxc(*reads).failed("Operation not permitted")
    lxc("config", "device", "add", name, "nil", "unix-char", "source=/dev/null", "path=/dev/nil").ok()
    lxc("config", "device", "remove", name, "nil").ok()
    lxc("exec", name, "--", "sh", "-c", "echo gone >/dev/null").ok()
    lxc("delete", "--force", name).ok()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], 'Unix device entry is missing the required "source" or "path" property'),
        (["path=/dev/no-such"], "The required device path doesn't exist and the major and minor settings"),
        (["path=/dev/null", "major=5"], "Both major and minor must be supplied for device: /dev/null"),
        (["source=/etc/passwd", "path=/dev/x"], "Path specified is not a unix-char device"),
        (["path=/dev/null", "mode=9"], "Invalid value for an octal file mode"),
        (["source=/dev/null", "path=/dev/../../x"], "Invalid path"),
        (["source=null", "path=/dev/x"], "must be absolute"),
    ],
)
def test_bad_options_are_refused(lxc: Lxc, daemon: Daemon, box: str, options: list[str], text: str) -> None:
    lxc("config", "device", "add", box, "bad", "unix-char", *options).failed(text)
    assert "bad" not in daemon.request("GET", f"/1.0/instances/{box}").metadata["devices"]
    assert host_side(daemon, box) == []


def test_what_is_missing_may_be_missing(lxc: Lxc, box: str) -> None:
    lxc("config", "device", "add", box, "maybe", "unix-char", "path=/dev/no-such", "required=false").ok()
    lxc("restart", "--force", box).ok()
    lxc("config", "device", "remove", box, "maybe").ok()
