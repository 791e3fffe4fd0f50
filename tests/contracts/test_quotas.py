"""Sizes of volumes for every storage driver, on a kernel that keeps quotas of projects as far as it is asked for them.

What the kernel does with them is tested where it has them: tests/vm/test_quotas.py.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from lightervisor.errors import Conflict, Failure
from lightervisor.instances import guest_files
from lightervisor.kernel import project_quotas
from lightervisor.kernel.project_quotas import Figures
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.drivers.overlay import Overlay
from tests.contracts.storage_samples import C1, MAP, OWN_FILE_SYSTEM, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
V1 = Volume("custom", "default_v1")
MIB = 1 << 20


class Quotas:
    """What was asked of the kernel: projects by inode, limits by project, and what each project takes."""

    def __init__(self) -> None:
        self.projects: dict[int, int] = {}
        self.limits: dict[int, int] = {}
        self.used = 0
        self.complete: set[int] = set()

    def project_of(self, descriptor: int) -> int:
        return self.projects.get(os.fstat(descriptor).st_ino, 0)

    def assign(self, descriptor: int, project: int) -> None:
        assert not os.listdir(descriptor), "what is there already does not get a project by this"
        self.projects[os.fstat(descriptor).st_ino] = project

    def hand_down_no_more(self, directory: int) -> None:
        self.complete.add(os.fstat(directory).st_ino)

    def assign_tree(self, directory: int, project: int, staging: int) -> None:
        assert self.project_of(staging) == project
        self.projects[os.fstat(directory).st_ino] = project

    def figures(self, _directory: int, project: int) -> Figures:
        taken = self.used if project in self.projects.values() else 0
        return Figures(used=taken, limit=self.limits.get(project, 0))

    def limit(self, _directory: int, project: int, size: int) -> None:
        self.limits[project] = size

    def of(self, path: Path) -> int:
        return self.projects.get(path.stat().st_ino, 0)


@pytest.fixture
def quotas(pool: StorageDriver, monkeypatch: pytest.MonkeyPatch) -> Quotas:
    """A kernel that keeps them."""
    _need_projects(pool)
    made = Quotas()
    for name in ("project_of", "assign", "assign_tree", "hand_down_no_more", "figures", "limit"):
        monkeypatch.setattr(project_quotas, name, getattr(made, name))
    monkeypatch.setattr(project_quotas, "are_kept", lambda _: True)
    return made


def _need_projects(pool: StorageDriver) -> None:
    if pool.name in OWN_FILE_SYSTEM:
        pytest.skip("keeps quotas of another kind: test_btrfs_quotas, test_zfs_quotas")


def parts(pool: StorageDriver, volume: Volume) -> list[Path]:
    """The directories that a volume writes to."""
    directory = pool.volume_path(volume)
    if isinstance(pool, Overlay):
        return [directory, pool.layout.root / pool._layers.read(directory).top]
    return [directory]


def test_every_volume_is_a_project_from_its_beginning(pool: StorageDriver, quotas: Quotas) -> None:
    pool.create_volume(C1, "img1")
    customs = pool.keeper("custom")
    customs.create_volume(V1, None)
    first, second = ({quotas.of(one) for one in parts(*both)} for both in ((pool, C1), (customs, V1)))
    assert pool.volume_path(C1).stat().st_ino in quotas.complete, "what the daemon writes there does not count"
    assert len(first) == len(second) == 1 and first != second and 0 not in first | second
    pool.resize(C1, 5 * MIB)
    quotas.used = 3 * MIB
    assert pool.figures(C1) == Figures(used=3 * MIB, limit=5 * MIB)
    assert pool.size(C1) == 3 * MIB
    assert customs.figures(V1) == Figures(used=3 * MIB, limit=0)
    customs.delete_volume(V1)


def test_a_size_below_what_is_used_is_refused(pool: StorageDriver, quotas: Quotas) -> None:
    pool.create_volume(C1, "img1")
    pool.resize(C1, 5 * MIB)
    quotas.used = 3 * MIB
    with pytest.raises(Failure, match="Cannot be shrunk") as refusal:
        pool.resize(C1, 2 * MIB)
    assert "3.15MB are in use" in refusal.value.message()
    assert pool.figures(C1) == Figures(used=3 * MIB, limit=5 * MIB)
    pool.resize(C1, 0)
    assert pool.figures(C1) == Figures(used=3 * MIB, limit=0)


def test_a_volume_keeps_its_size(pool: StorageDriver, quotas: Quotas) -> None:
    pool.create_volume(C1, "img1")
    pool.resize(C1, 5 * MIB)
    project = quotas.of(pool.volume_path(C1))
    inside(pool.mount(C1, MAP).path, "echo x > f")
    pool.unmount(C1)
    pool.create_snapshot(Snapshot(C1, "s1"))
    assert {quotas.of(one) for one in parts(pool, C1)} == {project}
    pool.restore_snapshot(Snapshot(C1, "s1"), "mark")
    restored = quotas.of(pool.volume_path(C1))
    assert restored not in (0, project), "what is restored is made while the other is there, which may be full"
    assert {quotas.of(one) for one in parts(pool, C1)} == {restored}
    assert (quotas.limits[project], quotas.limits[restored]) == (0, 5 * MIB)
    assert quotas.of(pool.snapshot_path(Snapshot(C1, "s1"))) == 0
    renamed = Volume("containers", "c9")
    pool.rename_volume(C1, renamed)
    assert pool.figures(renamed) == Figures(used=0, limit=5 * MIB)
    pool.delete_volume(renamed)
    assert quotas.limits[restored] == 0


def test_one_from_before_there_were_quotas(
    pool: StorageDriver, quotas: Quotas, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(project_quotas, "are_kept", lambda _: False)
        pool.create_volume(C1, "img1")
        assert pool.figures(C1) is None
    pool.mount(C1, MAP)
    with pytest.raises(Conflict, match="The size of instance c1 cannot be set while it is in use"):
        pool.resize(C1, 5 * MIB)
    assert pool.figures(C1) is None
    pool.unmount(C1)
    pool.resize(C1, 5 * MIB)
    assert len({quotas.of(one) for one in parts(pool, C1)} - {0}) == 1
    assert pool.figures(C1) == Figures(used=0, limit=5 * MIB)


def test_what_is_pushed_is_not_written_with_the_privilege_that_no_quota_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAP_SYS_RESOURCE: ext4 lets who has it write on, beyond quotas and into what is reserved for root."""
    write, seen = os.write, list[bool]()

    def has_it() -> bool:
        status = Path("/proc/thread-self/status").read_text()
        return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> 24 & 1)

    def noting(descriptor: int, content: bytes) -> int:
        seen.append(has_it())
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", noting)
    had = has_it()
    with (tmp_path / "pushed").open("wb") as file:
        guest_files.write_all(file.fileno(), [b"some"])
    assert seen == [False] and has_it() is had


def test_where_there_are_none_the_log_says_so(
    pool: StorageDriver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _need_projects(pool)
    monkeypatch.setattr(project_quotas, "are_kept", lambda _: False)
    pool.create_volume(C1, "img1")
    with caplog.at_level(logging.WARNING):
        pool.resize(C1, 0)
        assert not caplog.records
        pool.resize(C1, 5 * MIB)
    assert "storage pool p1 has no quotas: the size of instance c1 is not kept" in caplog.text
