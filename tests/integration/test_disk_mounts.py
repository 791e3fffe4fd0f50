"""Disks whose sources have mounts of their own: what the host has is neither lost, loosened nor mistaken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon


@pytest.fixture
def tree(daemon: Daemon, name: str) -> Iterator[Path]:
    """A shared mount with one more below it, as a host with systemd has them."""
    top = daemon.state / f"tree-{name}"
    top.mkdir()
    processes.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "top", top]).ok()
    processes.run(["mount", "--make-shared", top]).ok()
    (top / "sub").mkdir()
    processes.run(["mount", "-t", "tmpfs", "sub", top / "sub"]).ok()
    (top / "sub/note").write_text("below")
    yield top
    processes.run(["umount", "--recursive", top]).ok()
    top.rmdir()


def options_of(lxc: Lxc, name: str, path: str) -> set[str]:
    lines = [line.split() for line in lxc.run(name, "cat", "/proc/mounts").stdout.splitlines()]
    return {option for line in lines if line[1] == path for option in line[3].split(",")}


@pytest.mark.parametrize("moment", ["plugged", "started"])
@pytest.mark.parametrize("propagation", ["", "rshared"])
def test_the_hosts_mounts_below_a_source_stay(
    lxc: Lxc, running: str, tree: Path, moment: str, propagation: str
) -> None:
    words = [f"source={tree}", "path=/tree", "recursive=true", *([f"propagation={propagation}"] if propagation else [])]
    lxc("config", "device", "add", running, "d", "disk", *words).ok()
    if moment == "started":
        lxc("restart", "--force", running).ok()
    assert lxc.run(running, "cat", "/tree/sub/note").stdout == "below"
    lxc.run(running, "umount", "/tree/sub")
    assert (tree / "sub/note").read_text() == "below", "the guest unmounts its own only"
    lxc("config", "device", "remove", running, "d").ok()
    assert (tree / "sub/note").read_text() == "below"


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_a_readonly_disk_keeps_the_restrictions_of_its_source(lxc: Lxc, running: str, tree: Path, moment: str) -> None:
    lxc("config", "device", "add", running, "d", "disk", f"source={tree}", "path=/tree", "readonly=true").ok()
    if moment == "started":
        lxc("restart", "--force", running).ok()
    assert options_of(lxc, running, "/tree") >= {"ro", "nosuid", "nodev", "noexec"}
    lxc("config", "device", "remove", running, "d").ok()


def test_no_two_devices_share_a_place_on_the_host(lxc: Lxc, running: str, daemon: Daemon) -> None:
    folders = {device: daemon.state / f"{device}-{running}" for device in ("a", "a.b")}
    for (device, folder), path in zip(folders.items(), ("/b.c", "/c"), strict=True):
        folder.mkdir()
        (folder / "note").write_text(device)
        lxc("config", "device", "add", running, device, "disk", f"source={folder}", f"path={path}").ok()
    lxc("restart", "--force", running).ok()
    assert lxc.run(running, "cat", "/b.c/note").stdout == "a"
    assert lxc.run(running, "cat", "/c/note").stdout == "a.b"
    for device, folder in folders.items():
        lxc("config", "device", "remove", running, device).ok()
        (folder / "note").unlink()
        folder.rmdir()


def test_a_long_path_is_shown(lxc: Lxc, running: str, daemon: Daemon) -> None:
    folder = daemon.state / f"long-{running}"
    folder.mkdir()
    (folder / "note").write_text("long")
    path = "/".join(["", *(["é" * 100] * 3)])
    lxc("config", "device", "add", running, "d", "disk", f"source={folder}", f"path={path}").ok()
    assert lxc.run(running, "cat", f"{path}/note").stdout == "long"
    lxc("config", "device", "remove", running, "d").ok()
    (folder / "note").unlink()
    folder.rmdir()


@pytest.mark.parametrize("moment", ["plugged", "started"])
@pytest.mark.parametrize(("propagation", "is_seen"), [("private", False), ("rslave", True), ("rshared", True)])
def test_later_mounts_of_the_host_are_seen_where_that_is_asked_for(
    lxc: Lxc, running: str, tree: Path, moment: str, propagation: str, is_seen: bool
) -> None:
    words = [f"source={tree}", "path=/tree", "recursive=true", f"propagation={propagation}"]
    lxc("config", "device", "add", running, "d", "disk", *words).ok()
    if moment == "started":
        lxc("restart", "--force", running).ok()
    (tree / "later").mkdir()
    processes.run(["mount", "-t", "tmpfs", "later", tree / "later"]).ok()
    (tree / "later/note").write_text("came later")
    assert (lxc.run(running, "cat", "/tree/later/note").stdout == "came later") == is_seen
    lxc("config", "device", "remove", running, "d").ok()
    assert (tree / "later/note").read_text() == "came later"


@pytest.mark.parametrize("moment", ["plugged", "started"])
def test_a_relative_path_is_one_of_the_root(lxc: Lxc, running: str, tmp_path: Path, moment: str) -> None:
    (tmp_path / "note").write_text("shown")
    tmp_path.chmod(0o755)
    lxc("config", "device", "add", running, "d", "disk", f"source={tmp_path}", "path=mnt/deep/er").ok()
    if moment == "started":
        lxc("restart", "--force", running).ok()
    assert lxc.run(running, "cat", "/mnt/deep/er/note").stdout == "shown"
    lxc("config", "device", "remove", running, "d").ok()
    assert lxc.run(running, "cat", "/mnt/deep/er/note").status != 0
    lxc("config", "device", "add", running, "d", "disk", f"source={tmp_path}", "path=../../mnt/x").ok()
    assert lxc.run(running, "cat", "/mnt/x/note").stdout == "shown", "the root is the end of all .."


def test_an_inherited_disk_is_masked_and_comes_back_while_it_runs(lxc: Lxc, running: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("shown")
    tmp_path.chmod(0o755)
    lxc("profile", "create", "with-disk").ok()
    try:
        lxc("profile", "device", "add", "with-disk", "d", "disk", f"source={tmp_path}", "path=/mnt/d").ok()
        lxc("profile", "add", running, "with-disk").ok()
        assert lxc.run(running, "cat", "/mnt/d/note").stdout == "shown"
        lxc("config", "device", "add", running, "d", "none").ok()
        assert lxc.run(running, "cat", "/mnt/d/note").status != 0
        lxc("config", "device", "remove", running, "d").ok()
        assert lxc.run(running, "cat", "/mnt/d/note").stdout == "shown"
        lxc("config", "device", "override", running, "d", "path=/mnt/e").ok()
        assert lxc.run(running, "cat", "/mnt/e/note").stdout == "shown"
        assert lxc.run(running, "cat", "/mnt/d/note").status != 0
        lxc("config", "device", "remove", running, "d").ok()
    finally:
        lxc("profile", "remove", running, "with-disk").ok()
        lxc("profile", "delete", "with-disk").ok()
