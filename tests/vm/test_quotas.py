"""Quotas of projects, where the kernel keeps them: sizes of root disks and volumes on ext4 and xfs, on both drivers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.kernel import project_quotas
from lightervisor.kernel.overlay import run_as
from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.vm.test_host import pid_of

MIB = 1 << 20
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-O", "quota,project"], "xfs": ["mkfs.xfs", "-q"]}


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that keeps quotas of projects."""
    maker = MAKERS[request.param]
    if shutil.which(maker[0]) is None:
        pytest.skip(f"needs {maker[0]}")
    folder = tmp_path_factory.mktemp("quotas")
    image, place = folder / "image", folder / "mounted"
    with image.open("wb") as file:
        file.truncate(600 * MIB)
    place.mkdir()
    processes.run([*maker, image]).ok()
    processes.run(["mount", "-o", "loop,prjquota", image, place]).ok()
    yield place
    processes.run(["umount", place]).ok()


@pytest.fixture(params=["dir", "overlay"])
def pool(request: pytest.FixtureRequest, module_lxc: Lxc, mounted: Path) -> Iterator[str]:
    """A pool of each driver there."""
    source = mounted / request.param
    source.mkdir()
    module_lxc("storage", "create", "quotas", request.param, f"source={source}").ok()
    yield "quotas"
    module_lxc("storage", "delete", "quotas").ok()
    processes.run(["rm", "-rf", source]).ok()


@pytest.fixture
def running(module_lxc: Lxc, pool: str) -> Iterator[str]:
    """A container whose root disk has a size."""
    module_lxc("launch", "build:busybox", "small", "-s", pool, "-d", "root,size=40MiB").ok()
    yield "small"
    module_lxc("delete", "--force", "small").ok()


def size(lxc: Lxc, name: str, place: str = "/") -> int:
    """KiB of the file system at a place inside; busybox' df mixes up mounts of one device."""
    blocks, block = lxc("exec", name, "--", "stat", "-f", "-c", "%b %S", place).ok().stdout.split()
    return int(blocks) * int(block) >> 10


def fill(lxc: Lxc, name: str, mebibytes: int, place: str = "/root/f") -> processes.Done:
    """Write that much."""
    return lxc("exec", name, "--", "dd", "if=/dev/zero", f"of={place}", "bs=1M", f"count={mebibytes}", "conv=fsync")


def used(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["disk"]["root"]["usage"]


def test_the_size_holds_and_follows(daemon: Daemon, module_lxc: Lxc, running: str) -> None:
    lxc = module_lxc
    assert size(lxc, running) == 40 << 10
    assert lxc("exec", running, "--", "df", "-k", "-P", "/").ok().stdout.splitlines()[1].split()[1] == str(40 << 10)
    before = used(daemon, running)
    fill(lxc, running, 20).ok()
    assert 20 * MIB <= used(daemon, running) - before < 21 * MIB
    refused = fill(lxc, running, 60, "/root/g")
    assert refused.status != 0 and ("quota" in refused.stderr.lower() or "space" in refused.stderr.lower())
    lxc("exec", running, "--", "rm", "/root/g").ok()
    lxc("config", "device", "set", running, "root", "size=100MiB").ok()
    assert size(lxc, running) == 100 << 10
    fill(lxc, running, 60, "/root/g").ok()
    refused = lxc("config", "device", "set", running, "root", "size=30MiB")
    assert refused.status != 0 and "Cannot be shrunk" in refused.stderr
    assert lxc("config", "device", "get", running, "root", "size").ok().stdout == "100MiB\n"
    assert size(lxc, running) == 100 << 10
    lxc("config", "device", "unset", running, "root", "size").ok()
    assert size(lxc, running) > 200 << 10


def test_it_holds_over_snapshots_restarts_and_restores(daemon: Daemon, module_lxc: Lxc, running: str) -> None:
    lxc = module_lxc
    lxc("exec", running, "--", "sh", "-c", "mkfifo /root/pipe; ln -s pipe /root/link").ok()
    lxc("snapshot", running, "s0").ok()
    lxc("stop", "--force", running).ok()
    lxc("snapshot", running, "s1").ok()
    lxc("start", running).ok()
    assert size(lxc, running) == 40 << 10
    assert fill(lxc, running, 60).status != 0
    lxc("config", "set", running, "user.note", "the daemon writes beside it, full as it is").ok()
    lxc("restore", running, "s1").ok()
    assert size(lxc, running) == 40 << 10
    assert fill(lxc, running, 60).status != 0
    lxc("exec", running, "--", "rm", "/root/f").ok()
    # What was made before is of the same project as its directory, else the kernel refuses to move it.
    lxc("exec", running, "--", "sh", "-c", "mv /root/pipe /root/p2; mv /root/link /root/l2; test -p /root/p2").ok()


def test_a_volume_from_before_is_adopted(
    daemon: Daemon, module_lxc: Lxc, mounted: Path, pool: str, running: str
) -> None:
    """One that is of no project, or of another: what it has can be renamed and replaced afterwards as before."""
    lxc = module_lxc
    make = "cd /root; ln -s where link; touch file; mkdir folder; rm -r /etc/group /bin/vi; mv /etc/passwd /etc/p2"
    lxc("exec", running, "--", "sh", "-ec", make).ok()
    lxc("stop", "--force", running).ok()
    _forget_projects(mounted)
    lxc("start", running).ok()
    refused = lxc("config", "device", "set", running, "root", "size=50MiB")
    assert refused.status != 0 and "cannot be set while it is in use" in refused.stderr
    lxc("stop", "--force", running).ok()
    lxc("config", "device", "set", running, "root", "size=50MiB").ok()
    lxc("start", running).ok()
    assert size(lxc, running) == 50 << 10
    root = Path(f"/proc/{pid_of(daemon, running)}/root")
    owner = root.stat()
    run_as(owner.st_uid, owner.st_gid, lambda: _change_what_was_there(root))
    assert fill(lxc, running, 80).status != 0


def _change_what_was_there(root: Path) -> None:
    """By rename(2), link(2) and over whiteouts: `mv` would copy what the kernel refuses to move."""
    (root / "root/link").rename(root / "root/folder/link")
    assert (root / "root/folder/link").readlink() == Path("where")
    (root / "root/file").rename(root / "root/folder/file")
    (root / "root/folder").rename(root / "root/other")
    (root / "etc/group").mkdir()
    (root / "bin/vi").symlink_to("over another")
    (root / "etc/passwd").touch()
    for _ in range(2):
        (root / "etc/hostname").unlink(missing_ok=True)  # leaves a whiteout
        (root / "bin/ls").unlink(missing_ok=True)
        (root / "etc/hostname").touch()


def _forget_projects(root: Path) -> None:
    """Take what is there out of its project, but for what cannot be opened: links, devices."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            project_quotas.assign(descriptor, 0)
        finally:
            os.close(descriptor)


def test_a_push_is_held_too(module_lxc: Lxc, running: str, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(60 * MIB))
    assert module_lxc("file", "push", str(tmp_path / "large"), f"{running}/root/large").status != 0


def test_volumes_have_sizes_too(daemon: Daemon, module_lxc: Lxc, pool: str, running: str) -> None:
    lxc = module_lxc
    lxc("storage", "volume", "create", pool, "v1", "size=30MiB").ok()
    try:
        lxc("storage", "volume", "attach", pool, "v1", running, "/mnt").ok()
        assert size(lxc, running, "/mnt") == 30 << 10
        assert fill(lxc, running, 50, "/mnt/f").status != 0
        lxc("exec", running, "--", "rm", "/mnt/f").ok()
        fill(lxc, running, 10, "/mnt/f").ok()
        usage = daemon.request("GET", f"/1.0/storage-pools/{pool}/volumes/custom/v1/state").metadata["usage"]
        assert usage["total"] == 30 * MIB and 10 * MIB <= usage["used"] < 11 * MIB
        lxc("storage", "volume", "set", pool, "v1", "size", "60MiB").ok()
        fill(lxc, running, 50, "/mnt/f").ok()
        refused = lxc("storage", "volume", "set", pool, "v1", "size", "20MiB")
        assert refused.status != 0 and "Cannot be shrunk" in refused.stderr
    finally:
        lxc("config", "device", "remove", running, "v1")
        lxc("storage", "volume", "delete", pool, "v1").ok()


def test_a_pool_gives_its_new_volumes_a_size(module_lxc: Lxc, pool: str) -> None:
    lxc = module_lxc
    lxc("storage", "set", pool, "volume.size", "50MiB").ok()
    lxc("launch", "build:busybox", "given", "-s", pool).ok()
    assert size(lxc, "given") == 50 << 10
    lxc("delete", "--force", "given").ok()
