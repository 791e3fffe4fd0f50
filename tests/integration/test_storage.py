"""Storage pools of each driver, and instances in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.harness import leaks
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

DRIVERS = ["btrfs", "dir", "overlay"]


@pytest.fixture
def pool(daemon: Daemon, name: str) -> Iterator[str]:
    """A name for one more pool; it is deleted when the test made it."""
    chosen = f"p-{name}"
    yield chosen
    daemon.request("DELETE", f"/1.0/storage-pools/{chosen}")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_pool_is_made_listed_and_deleted(client: Client, daemon: Daemon, pool: str, driver: str) -> None:
    client.create_pool(pool, driver)
    assert client.pools()[pool] == driver
    assert (daemon.state / "storage-pools" / pool).is_dir()
    client.delete_pool(pool)
    assert pool not in client.pools()
    assert not (daemon.state / "storage-pools" / pool).exists()


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_instance_lives_and_dies_in_the_pool(
    lxc: Lxc, daemon: Daemon, image: str, name: str, pool: str, driver: str
) -> None:
    lxc.create_pool(pool, driver)
    lxc("launch", image, name, "--storage", pool).ok()
    lxc("exec", name, "--", "sh", "-c", "echo kept >/root/note; mv /etc/hostname /etc/renamed; rm /etc/dhcp").ok()
    lxc("restart", "--force", name).ok()
    assert lxc.pull(name, "/root/note") == b"kept\n"
    assert lxc.run(name, "ls", "/etc").stdout.split().count("dhcp") == 0
    assert lxc.run(name, "stat", "-c", "%u:%g", "/root/note").stdout == "0:0\n"
    with pytest.raises(ClientFailure, match="in use"):
        lxc.delete_pool(pool)
    lxc("delete", "--force", name).ok()
    assert leaks.of_instance(daemon, name) == []
    fingerprint = next(fp for fp, names in lxc.images().items() if image in names)
    daemon.request("DELETE", f"/1.0/storage-pools/{pool}/volumes/image/{fingerprint}")
    lxc.delete_pool(pool)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_container_is_unprivileged_and_owns_its_files(
    lxc: Lxc, image: str, name: str, pool: str, driver: str
) -> None:
    lxc.create_pool(pool, driver)
    lxc("launch", image, name, "--storage", pool).ok()
    inside, outside, count = lxc.run(name, "cat", "/proc/self/uid_map").stdout.split()[:3]
    assert inside == "0"
    assert int(outside) >= 100000
    assert int(count) >= 65536
    assert lxc.run(name, "sh", "-c", "chown 1000:1000 /etc/passwd && stat -c %u /etc/passwd").stdout == "1000\n"
    lxc("delete", "--force", name).ok()


def test_an_unknown_driver_is_refused(daemon: Daemon, pool: str) -> None:
    answer = daemon.request("POST", "/1.0/storage-pools", {"name": pool, "driver": "floppy", "config": {}})
    assert answer.status >= 400
    assert "floppy" in answer.error or "driver" in answer.error.lower()
    assert not (daemon.state / "storage-pools" / pool).exists()


@pytest.mark.parametrize("bad", ["a/b", "..", "", "with space"])
def test_a_bad_name_is_refused(daemon: Daemon, bad: str) -> None:
    answer = daemon.request("POST", "/1.0/storage-pools", {"name": bad, "driver": "dir", "config": {}})
    assert answer.status >= 400
    assert bad not in {url.rpartition("/")[2] for url in daemon.request("GET", "/1.0/storage-pools").metadata}


def test_info_tells_the_space(either: Lxc) -> None:
    info = either("storage", "info", "default").ok().stdout
    assert "total space:" in info
    assert "space used:" in info


def test_an_unknown_pool_is_named_in_the_error(either: Lxc, image: str, name: str) -> None:
    either("launch", image, name, "--storage", "no-such-pool").failed("not found")
    assert name not in either.statuses()


def test_files_that_are_nobodys_are_neither_used_nor_removed(daemon: Daemon, image: str, name: str) -> None:
    place = daemon.state / "storage-pools/default/containers" / name
    (place / "rootfs").mkdir(parents=True)
    (place / "rootfs/note").write_text("of an older database")
    body = {"name": name, "source": {"type": "image", "alias": image}}
    try:
        assert "belongs to no instance" in daemon.operation("POST", "/1.0/instances", body)["err"]
        assert (place / "rootfs/note").read_text() == "of an older database"
        assert name not in daemon.instance_names()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
