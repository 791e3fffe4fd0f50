"""Where the files of a btrfs pool are: in a file of ours, on a block device, or in a directory of another btrfs.

The file and the file system on a device are made when the pool is, which is when its mount point is not there yet; at
later starts of the daemon they are only mounted. Source: LXD 5.0, storage pool configuration of `btrfs`.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from lightervisor.config import sizes
from lightervisor.errors import Conflict, HostError, Invalid, NotFound
from lightervisor.kernel import btrfs, fsinfo, loops, modules, mounts, process, syscalls
from lightervisor.storage import shifted

_PROGRAMS = ("btrfs", "mkfs.btrfs")
GIB = 1 << 30
LEAST, LEAST_GROWN = 128 << 20, 256 << 20
MOUNT_OPTIONS, OPTIONS = "btrfs.mount_options", "user_subvol_rm_allowed"
INITIAL = "volatile.initial_source"
_FLAGS = {
    "defaults": 0,
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
    "lazytime": 1 << 25,
}
_SECTOR = 4096
_SUPERBLOCK, _MAGIC_AT, _MAGIC = 0x10000, 0x40, b"_BHRfS_M"


class Complaint(NamedTuple):
    """Why this host cannot carry such pools, and what may help."""

    cause: str
    remedy: str


def complaint() -> Complaint | None:
    """What is missing here, None when nothing is; whether mounts can be id-mapped shows when one is made."""
    missing = next((one for one in _PROGRAMS if not shutil.which(one, path=process.ENVIRONMENT["PATH"])), "")
    if shifted.is_needed():
        return Complaint("this is a container, which cannot mount a btrfs", "use dir or overlay")
    if not modules.has_file_system("btrfs"):
        return Complaint("the kernel has no btrfs", "boot a kernel that has it, or its module")
    if missing:
        return Complaint(f"the program {missing} is not installed", "install the package btrfs-progs")
    if not loops.CONTROL.exists():
        return Complaint("the kernel has no loop devices", "load their module: modprobe loop")
    return None


def is_btrfs(file: Path) -> bool:
    """Whether a file or device has a btrfs. Source: btrfs(5), the superblock at 64 KiB."""
    with file.open("rb") as opened:
        return os.pread(opened.fileno(), 8, 0x10040) == b"_BHRfS_M"


def attached(root: Path, config: Mapping[str, str]) -> dict[str, str]:
    """Show a pool that no row tells of at its directory; its configuration, with its source. Raises HostError."""
    there = {**config, "source": config.get("source") or str(file_of(root))}
    try:
        Source(root, there).attach(makes=False)
    except OSError as error:
        raise HostError("storage pool", root.name, cause=error.strerror or str(error)) from error
    return there


def completed(root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a new pool, with where it is to be. Raises Invalid with LXD's texts, Conflict."""
    source, file = wanted.get("source", ""), file_of(root)
    if source in ("", str(file)):
        if file.exists():
            remedy = "it may be recovered: lxd recover; else remove that file"
            raise Conflict("storage pool", root.name, cause=f"{file} is there already", remedy=remedy)
        size = wanted.get("size") or f"{usual_size(root) // GIB}GiB"
        if sizes.parse(size) < LEAST:
            raise Invalid("storage pool", root.name, cause=f"{size} is too small", remedy="128MiB are the least")
        return {**wanted, "source": str(file), "size": size}
    place, rest = Path(source), {key: value for key, value in wanted.items() if key != "size"}
    if not place.is_absolute():
        raise Invalid("storage pool", root.name, text='Invalid "source" property')
    if place.is_block_device():
        return {**rest, "source": str(uuid4()), INITIAL: source}
    _check_directory(place, root)
    return {**rest, INITIAL: source}


def _check_directory(place: Path, root: Path) -> None:
    kept = root.parent.parent.resolve()
    if place.resolve().is_relative_to(kept) and place != root:
        text = f'Only allowed source path under "{kept}" is "{root}"'
        raise Invalid("storage pool", root.name, text=text)
    if fsinfo.type_name(fsinfo.existing_parent(place)) != "btrfs":
        raise Invalid("storage pool", root.name, text="Provided path does not reside on a btrfs filesystem")
    if not place.exists():
        if not place.parent.is_dir():
            raise Invalid("storage pool", root.name, text=f"Source path '{place}' doesn't exist")
    elif not place.is_dir():
        raise Invalid("storage pool", root.name, text=f"Source path '{place}' is not a directory")
    elif any(place.iterdir()):
        text = "Requested btrfs subvolume exists but is not empty"
        raise Invalid("storage pool", root.name, text=text, remedy="give an empty directory of a btrfs file system")


def file_of(root: Path) -> Path:
    """The file that carries a pool which asked for nothing else."""
    return root.parent.parent / "disks" / f"{root.name}.img"


def usual_size(root: Path) -> int:
    """Bytes of a file when nothing is said: a fifth of the file system, within limits, as LXD has it.

    Only what is written to is taken of that.
    """
    total = fsinfo.space(fsinfo.existing_parent(root)).total
    return min(max(total // 5 // GIB * GIB, 5 * GIB), 30 * GIB)


class Source:
    """The file, device or directory of one pool. Failures are OSError and HostError."""

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        self._root, self._config = root, config

    @property
    def _place(self) -> Path:
        return Path(self._config.get("source") or file_of(self._root))

    def attach(self, *, makes: bool = True) -> None:
        """Show it at the pool's directory; what it needs is made, if it `makes`, when that is not there yet."""
        if mounts.is_mountpoint(self._root):
            return
        is_new, place, options = (
            makes and not self._root.is_dir(),
            self._place,
            self._config.get(MOUNT_OPTIONS, OPTIONS),
        )
        if not place.is_absolute():
            device = self._device(str(place), is_new)
            self._mount(device, options)
        elif place.is_dir() or place.parent != file_of(self._root).parent:
            self._attach_directory(place, is_new)
        else:
            if is_new and not place.exists():
                self._make_file(place)
            if not place.is_file():
                raise HostError("storage pool", self._root.name, cause=f"{place} is not there")
            with loops.attached(place) as device:
                self._mount(device, options)
            self._take_all()
        if fsinfo.type_name(self._root) != "btrfs":
            raise HostError("storage pool", self._root.name, cause=f"{place} is not on btrfs")
        self._root.chmod(0o711)

    def _attach_directory(self, place: Path, is_new: bool) -> None:
        """Bind it; one that holds nothing of the pool is what lies below a disk that is not mounted."""
        if not is_new and place != self._root and not any((place / kind).is_dir() for kind in ("containers", "custom")):
            remedy = "mount the file system that it is on, then start the daemon again"
            raise HostError("storage pool", self._root.name, cause=f"{place} does not hold it", remedy=remedy)
        if not place.exists():
            btrfs.create(place, 0o711)
        if place != self._root:
            self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
            mounts.bind(place, self._root)

    def _make_file(self, place: Path) -> None:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = place.with_suffix(".new")
        made.unlink(missing_ok=True)
        size = sizes.parse(self._config.get("size") or str(usual_size(self._root)))
        try:
            with made.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.truncate(size)
            process.run(["mkfs.btrfs", "-q", "-L", self._root.name, str(made)])
            made.rename(place)
        finally:
            made.unlink(missing_ok=True)

    def _device(self, uuid: str, is_new: bool) -> Path:
        """The device with the file system of a number, which is made when the pool is."""
        if found := device_with(uuid):
            return found
        initial = self._config.get(INITIAL, "")
        if not is_new or not Path(initial).is_block_device():
            raise HostError("storage pool", self._root.name, cause=f"no block device has the file system {uuid}")
        try:
            process.run(["mkfs.btrfs", "-q", "-L", self._root.name, "-U", uuid, initial])
        except HostError as error:
            if "-f option" not in error.cause:
                raise
            cause, remedy = f"{initial} has a file system already", f"if nobody needs it: wipefs -a {initial}"
            raise HostError("storage pool", self._root.name, cause=cause, remedy=remedy) from error
        return Path(initial)

    def _mount(self, device: Path, options: str, how: int = 0) -> None:
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
        words = [word for word in options.split(",") if word]
        flags = how | sum({_FLAGS[word] for word in words if word in _FLAGS})
        if not {"noatime", "relatime", "strictatime"}.intersection(words):
            flags |= _FLAGS["relatime"]  # what was asked for before would stay
        data = ",".join(word for word in words if word not in _FLAGS)
        try:
            syscalls.mount(device, self._root, "btrfs", flags, data)
        except OSError as error:
            what = "it" if how else str(device)
            cause = f"{what} could not be mounted with {options!r}: {error.strerror}"
            remedy = "look at btrfs.mount_options, and at what the kernel says (dmesg)"
            raise HostError("storage pool", self._root.name, cause=cause, remedy=remedy) from error

    def show_left(self) -> None:
        """Show, before it goes, what a file of ours holds. Raises HostError when nobody can look into it."""
        if self._place == file_of(self._root) and self._place.exists():
            try:
                self.attach()
            except HostError as error:
                cause, remedy = f"what is in it cannot be seen: {error.cause}", error.remedy or "see dmesg"
                remedy = f"{remedy}; if nothing in it is needed: rm {self._place}"
                raise HostError("storage pool", self._root.name, cause=cause, remedy=remedy) from error

    def remove(self) -> None:
        """Remove the file; devices, and directories that somebody gave, stay, as on LXD."""
        if self._place == file_of(self._root):
            self._place.unlink(missing_ok=True)

    def reconfigure(self, config: Mapping[str, str]) -> None:
        """Do now what other options of mounting, and a larger file, ask for. Raises Invalid for a smaller one."""
        size, before = config.get("size", ""), self._config.get("size", "")
        if size != before:
            self._resize(size)
        if (options := config.get(MOUNT_OPTIONS, OPTIONS)) != self._config.get(MOUNT_OPTIONS, OPTIONS):
            self._mount(Path("none"), options, syscalls.MS_REMOUNT)

    def _resize(self, text: str) -> None:
        """Compared with the file itself: what is stored may tell of less, after a kill, and less would cut it off."""
        if self._place != file_of(self._root):
            raise Invalid("storage pool", self._root.name, cause="only a file of our own can be made larger")
        if not text:
            raise Invalid("storage pool", self._root.name, cause="the file that carries it has a size, always")
        size, has = sizes.parse(text), self._place.stat().st_size
        if size < has:
            cause, remedy = "the file that carries it cannot be made smaller", f"it has {sizes.human(has)}"
            raise Invalid("storage pool", self._root.name, cause=cause, remedy=remedy)
        if has < size < LEAST_GROWN:
            raise Invalid("storage pool", self._root.name, cause="btrfs grows to 256MiB at least", remedy="size=256MiB")
        with self._place.open("r+b") as file:
            file.truncate(size)
        self._take_all()

    def _take_all(self) -> None:
        """Let the file system have its whole file, which a daemon may have died before."""
        has = self._place.stat().st_size
        if has >= LEAST_GROWN and fsinfo.space(self._root).total < has // _SECTOR * _SECTOR:
            loops.grow(self._place)
            with btrfs.opened(self._root) as opened:
                btrfs.grow(opened)


def device_with(uuid: str) -> Path | None:
    """The block device that holds the btrfs of a number. Source: btrfs, on-disk format, superblock."""
    try:
        wanted = UUID(uuid).bytes
    except ValueError as error:
        raise NotFound("storage pool", uuid, text='Invalid "source" property') from error
    for entry in sorted(Path("/sys/class/block").iterdir()):
        path = Path("/dev") / entry.name
        try:
            with path.open("rb") as device:
                device.seek(_SUPERBLOCK)
                head = device.read(_MAGIC_AT + len(_MAGIC))
        except OSError:
            continue
        if head[_MAGIC_AT:] == _MAGIC and head[32:48] == wanted:
            return path
    return None
