"""Instances between two of our daemons that both have a pool of btrfs: stopped and running ones."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import btrfs
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.conftest import discard, home, watched
from tests.harness.certificates import make
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import on_network
from tests.harness.processes import eventually

POOL = "streams"


@pytest.fixture(scope="module")
def other() -> Iterator[Daemon]:
    """Another daemon."""
    try:
        Btrfs.probe(Path("/tmp"))
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    yield from watched(lambda daemon: daemon.start().initialise(driver="dir"))


@pytest.fixture(scope="module")
def lxc(daemon: Daemon, other: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lxc]:
    """A client that knows the session's daemon as `here` and the other as `there`; both have a pool of btrfs."""
    identity, folder = make("root@both"), home(tmp_path_factory.mktemp("client"))
    identity.write(folder)
    body = {"type": "client", "name": "both", "certificate": base64.b64encode(identity.der).decode()}
    client = Lxc(OURS, {"LXD_DIR": str(folder / "nowhere")}, folder)
    with on_network(daemon) as here, on_network(other) as there:
        for remote, one, network in (("here", daemon, here), ("there", other, there)):
            assert one.request("POST", "/1.0/certificates", body).status == 201
            client("remote", "add", remote, f"https://{network.address}", "--accept-certificate").ok()
            client("storage", "create", f"{remote}:{POOL}", "btrfs", "size=1GiB").ok()
        yield client
        for remote, one in (("here", daemon), ("there", other)):
            for url in one.request("GET", "/1.0/images").metadata:
                one.request("DELETE", f"/1.0/storage-pools/{POOL}/volumes/image/{url.rpartition('/')[2]}")
            client("storage", "delete", f"{remote}:{POOL}").ok()


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
