"""Instances between two of our daemons that both have a pool of btrfs: stopped and running ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import btrfs
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

POOL = "streams"


@pytest.fixture(scope="module")
def lxc(daemon: Daemon, other: Daemon, both: Lxc) -> Iterator[Lxc]:
    """A client of both; both have a pool of btrfs."""
    try:
        Btrfs.probe(Path("/tmp"))
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    for remote in ("here", "there"):
        both("storage", "create", f"{remote}:{POOL}", "btrfs", "size=1GiB").ok()
    yield both
    for remote, one in (("here", daemon), ("there", other)):
        for url in one.request("GET", "/1.0/images").metadata:
            one.request("DELETE", f"/1.0/storage-pools/{POOL}/volumes/image/{url.rpartition('/')[2]}")
        both("storage", "delete", f"{remote}:{POOL}").ok()


@pytest.fixture
def instance(lxc: Lxc, daemon: Daemon, other: Daemon, image: str, name: str) -> Iterator[str]:
    """One that runs, with a snapshot, a subvolume of its own and files of odd owners."""
    full = f"here:{name}"
    lxc("init", f"here:{image}", full, "--storage", POOL).ok()
    nested = daemon.state / "storage-pools" / POOL / "containers" / name / "rootfs/nested"
    btrfs.create(nested, 0o755)
    lxc("start", full).ok()
    lxc("exec", full, "--", "sh", "-c", "echo one >/root/a; chown 5:6 /root/a; chmod 6755 /root/a").ok()
    lxc("snapshot", full, "s1").ok()
    lxc("exec", full, "--", "sh", "-c", "echo two >/root/b").ok()
    yield name
    discard(daemon, name)
    for one in other.instance_names():
        discard(other, one)
    for one in (daemon, other):
        trash = one.state / "storage-pools" / POOL / "trash"
        eventually(lambda trash=trash: not any(trash.iterdir()), what="the trash to be emptied")


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_a_running_one_is_sent_as_it_is_at_one_moment(lxc: Lxc, other: Daemon, instance: str, mode: str) -> None:
    copy = f"there:{instance}"
    lxc("copy", f"here:{instance}", copy, "--stateless", "--mode", mode, "--storage", POOL).ok()
    assert btrfs.is_subvolume(other.state / "storage-pools" / POOL / "containers" / instance / "rootfs/nested")
    lxc("start", copy).ok()
    assert lxc("exec", copy, "--", "stat", "-c", "%u:%g %a", "/root/a").ok().stdout == "5:6 6755\n"
    assert lxc("exec", copy, "--", "cat", "/root/b").ok().stdout == "two\n"
    lxc("restore", copy, "s1").ok()
    assert lxc("exec", copy, "--", "ls", "/root").ok().stdout == "a\n"
    assert lxc("exec", f"here:{instance}", "--", "cat", "/root/b").ok().stdout == "two\n"


def test_a_move_leaves_nothing_here(lxc: Lxc, daemon: Daemon, other: Daemon, instance: str) -> None:
    lxc("stop", f"here:{instance}", "--force").ok()
    lxc("move", f"here:{instance}", f"there:{instance}", "--storage", POOL).ok()
    assert instance not in daemon.instance_names()
    assert instance in other.instance_names()


def test_a_refused_one_leaves_nothing_there(lxc: Lxc, other: Daemon, instance: str) -> None:
    lxc("init", "--empty", f"there:{instance}", "--storage", POOL).ok()
    assert lxc("copy", f"here:{instance}", f"there:{instance}", "--stateless", "--storage", POOL).status != 0
    lxc("delete", f"there:{instance}").ok()
    assert not list((other.state / "storage-pools" / POOL / "containers").iterdir())
