"""Pools in a dataset of somebody's ZFS, and datasets shown to containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.processes import run

MIB = 1 << 20
OURS = "lvtests"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a dataset of a ZFS pool of our own is mounted."""
    folder = tmp_path_factory.mktemp("zfs")
    folder.chmod(0o711)
    for parent in folder.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    disk, place = folder / "disk", folder / "mounted"
    with disk.open("wb") as file:
        file.truncate(512 * MIB)
    run(["modprobe", "zfs"]).ok()
    options = [f"mountpoint={place}", "acltype=posixacl", "xattr=sa"]
    run(["zpool", "create", "-O", options[0], "-O", options[1], "-O", options[2], OURS, disk]).ok()
    yield place
    run(["zpool", "destroy", OURS]).ok()


@pytest.mark.parametrize("driver", ["dir", "overlay"])
def test_a_pool_in_a_dataset(lxc: Lxc, dataset: Path, driver: str, name: str) -> None:
    (dataset / driver).mkdir()
    lxc("storage", "create", "lent", driver, f"source={dataset / driver}").ok()
    lxc("launch", "build:busybox", name, "-s", "lent").ok()
    lxc("exec", name, "--", "sh", "-c", "echo kept >/root/file; chown 5:6 /root/file; chmod 4751 /root/file").ok()
    lxc("snapshot", name, "s1").ok()
    lxc("exec", name, "--", "rm", "/root/file").ok()
    lxc("restore", name, "s1").ok()
    lxc("copy", f"{name}/s1", f"{name}-b").ok()
    lxc("start", f"{name}-b").ok()
    for box in (name, f"{name}-b"):
        seen = lxc("exec", box, "--", "sh", "-c", "cat /root/file; stat -c '%u %g %a' /root/file").ok().stdout
        assert seen == "kept\n5 6 4751\n"
        assert lxc("exec", box, "--", "stat", "-c", "%u", "/bin").ok().stdout == "0\n"
    lxc("delete", "--force", name, f"{name}-b").ok()
    lxc("storage", "delete", "lent").ok()


def test_a_dataset_is_shown_with_the_owners_of_the_container(lxc: Lxc, dataset: Path, name: str) -> None:
    shared = dataset / "shared"
    shared.mkdir()
    (shared / "mine").write_text("of root\n")
    lxc("launch", "build:busybox", name).ok()
    lxc("config", "device", "add", name, "data", "disk", f"source={shared}", "path=/mnt/data", "shift=true").ok()
    assert lxc("exec", name, "--", "stat", "-c", "%u", "/mnt/data/mine").ok().stdout == "0\n"
    lxc("exec", name, "--", "sh", "-c", "echo inside >/mnt/data/theirs").ok()
    assert (shared / "theirs").stat().st_uid == 0
    lxc("delete", "--force", name).ok()
