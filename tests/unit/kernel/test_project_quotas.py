"""The kernel's interface of project quotas: what is asked, and what its answers mean."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import struct
from pathlib import Path

import pytest

from lightervisor.kernel import project_quotas, syscalls
from lightervisor.kernel.project_quotas import Figures
from tests.harness import processes


class Kernel:
    """The two system calls, as ext4 with the mount option prjquota answers them; `left_out` counts special files."""

    def __init__(self) -> None:
        self.projects: dict[int, tuple[int, int]] = {}
        self.limits: dict[int, int] = {}
        self.error = 0
        self.status = 0x30  # FS_QUOTA_PDQ_ACCT, FS_QUOTA_PDQ_ENFD

    def ioctl(self, descriptor: int, request: int, content: bytes) -> bytes:
        inode = os.fstat(descriptor).st_ino
        if request == 0x801C581F:  # FS_IOC_FSGETXATTR
            flags, project = self.projects.get(inode, (0x10, 0))
            return struct.pack("=5I8x", flags, 1, 2, project, 3)
        assert request == 0x401C5820  # FS_IOC_FSSETXATTR
        flags, extent, extents, project, copies = struct.unpack("=5I8x", content)
        assert (extent, extents, copies) == (1, 2, 3), "what else is set stays"
        self.projects[inode] = flags, project
        return content

    def quotactl(self, directory: int, command: int, number: int, content: bytearray) -> None:
        assert os.fstat(directory)
        assert command & 0xFF == 2, "PRJQUOTA"
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        match command >> 8:
            case 0x5805:  # Q_XGETQSTAT
                assert len(content) >= 80, "struct fs_quota_stat"
                struct.pack_into("=bxH", content, 0, 1, self.status)
            case 0x800005:  # Q_GETINFO: there is accounting, at least
                return
            case 0x800007:
                units = self.limits.get(number, 0)
                content[:] = struct.pack("=8QI4x", units, units, 12345, 0, 0, 6, 0, 0, 63)
            case 0x800008:
                hard, soft, *_, valid = struct.unpack("=8QI4x", content)
                assert hard == soft and valid == 1, "nothing but the limits of blocks"
                self.limits[number] = hard
            case other:
                raise AssertionError(hex(other))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The system calls of a host that has them."""
    made = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    monkeypatch.setattr(syscalls, "quotactl", made.quotactl)
    return made


@pytest.fixture
def directory(tmp_path: Path) -> int:
    """An open directory with files below."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_text("x")
    (tmp_path / "a/link").symlink_to("/etc")
    os.mkfifo(tmp_path / "a/pipe")
    return os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)


def test_figures_and_limits(kernel: Kernel, directory: int) -> None:
    assert project_quotas.are_kept(directory)
    assert project_quotas.figures(directory, 7) == Figures(used=12345, limit=0)
    project_quotas.limit(directory, 7, (10 << 20) + 1)
    assert project_quotas.figures(directory, 7).limit == (10 << 20) + 1024, "in units of 1 KiB, rounded up"
    project_quotas.limit(directory, 7, 0)
    assert project_quotas.figures(directory, 7).limit == 0
    kernel.error = errno.ENOENT
    assert project_quotas.figures(directory, 8) == Figures(used=0, limit=0)


@pytest.mark.parametrize("error", [errno.ESRCH, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL])
def test_a_file_system_without_them(kernel: Kernel, directory: int, error: int) -> None:
    kernel.error = error
    assert not project_quotas.are_kept(directory)


@pytest.mark.parametrize(("status", "kept"), [(0x30, True), (0x10, False), (0x0F, False), (0x3F, True)])
def test_what_is_only_counted_is_not_kept(kernel: Kernel, directory: int, status: int, kept: bool) -> None:
    """ext4 with the feature but without the mount option, xfs with pqnoenforce: limits are taken, and do not hold."""
    kernel.status = status
    assert project_quotas.are_kept(directory) is kept


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mkfs.ext4") is None, reason="needs root and mkfs.ext4")
@pytest.mark.parametrize(("options", "kept"), [("loop,prjquota", True), ("loop", False)])
def test_ext4_keeps_them_by_its_mount_option(tmp_path: Path, options: str, kept: bool) -> None:
    image, place = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    place.mkdir()
    processes.run(["mkfs.ext4", "-q", "-O", "quota,project", image]).ok()
    if processes.run(["mount", "-o", options, image, place]).status != 0:
        pytest.skip("this kernel's ext4 has no quotas")
    try:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert project_quotas.are_kept(directory) is kept
        finally:
            os.close(directory)
    finally:
        processes.run(["umount", place]).ok()


def test_a_project_is_handed_down(kernel: Kernel, directory: int) -> None:
    project_quotas.assign(directory, 7)
    assert kernel.projects[os.fstat(directory).st_ino] == (0x210, 7)
    assert project_quotas.project_of(directory) == 7
    project_quotas.assign(directory, 0)
    assert kernel.projects[os.fstat(directory).st_ino] == (0x10, 0)


def test_a_whole_tree_gets_a_project(kernel: Kernel, directory: int, tmp_path: Path) -> None:
    before = {path.name: path.lstat() for path in (tmp_path, *tmp_path.rglob("*"))}
    staging = _staging(tmp_path)
    project_quotas.assign_tree(directory, 9, staging)
    os.close(staging)
    assert {name for name, found in before.items() if found.st_ino in kernel.projects} == {tmp_path.name, "a", "b", "f"}
    assert {project for _, project in kernel.projects.values()} == {9}
    assert kernel.projects[before["f"].st_ino][0] & 0x200 == 0, "ext4 refuses that of what is no directory"
    assert kernel.projects[before["a"].st_ino][0] & 0x200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_cannot_be_opened_is_made_anew(kernel: Kernel, directory: int, tmp_path: Path) -> None:
    """In a directory of the project, so that the kernel gives it the project."""
    place = tmp_path / "a"
    (place / "soft").symlink_to("no where")
    os.lchown(place / "soft", 1000, 1001)
    os.mknod(place / "disk", 0o640 | stat.S_IFBLK, os.makedev(7, 99))
    os.setxattr(place / "disk", "trusted.overlay.origin", b"kept")
    os.mknod(place / "whiteout", stat.S_IFCHR, 0)
    (place / "whiteout2").hardlink_to(place / "whiteout")
    (place / "again").symlink_to("twice")
    os.link(place / "again", place / "twice", follow_symlinks=False)
    os.mkfifo(place / "fifo")
    os.utime(place, (1, 2))
    before = {path.name: path.lstat() for path in (place, *place.iterdir())}
    staging = _staging(tmp_path)
    project_quotas.assign_tree(directory, 9, staging)
    assert not any(_staged(tmp_path).iterdir())
    os.close(staging)
    after = {path.name: path.lstat() for path in (place, *place.iterdir())}
    new = {name for name in after if after[name].st_ino != before[name].st_ino}
    assert new == {"link", "soft", "disk", "whiteout", "whiteout2"}

    def told(found: os.stat_result) -> tuple[float, ...]:
        return found.st_mode, found.st_uid, found.st_gid, found.st_rdev, found.st_mtime

    assert {name: told(found) for name, found in after.items()} == {name: told(found) for name, found in before.items()}
    assert (place / "soft").readlink() == Path("no where")
    assert os.getxattr(place / "disk", "trusted.overlay.origin") == b"kept"


def _staged(tmp_path: Path) -> Path:
    return tmp_path.parent / f"{tmp_path.name}-staged"


def _staging(tmp_path: Path) -> int:
    _staged(tmp_path).mkdir()
    return os.open(_staged(tmp_path), os.O_RDONLY)


def test_this_hosts_kernel_answers(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert project_quotas.are_kept(directory) in (True, False)
        assert project_quotas.project_of(directory) >= 0
    finally:
        os.close(directory)


def test_a_directory_that_is_complete_hands_nothing_down(kernel: Kernel, directory: int) -> None:
    project_quotas.assign(directory, 7)
    project_quotas.hand_down_no_more(directory)
    assert kernel.projects[os.fstat(directory).st_ino] == (0x10, 7)
    assert project_quotas.project_of(directory) == 7
