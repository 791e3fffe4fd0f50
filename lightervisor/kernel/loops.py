"""Loop devices: a file as a block device, for as long as something has it mounted. Source: loop(4), linux/loop.h."""

import errno
import fcntl
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.kernel import syscalls

CONTROL = Path("/dev/loop-control")
_GET_FREE, _CONFIGURE, _SET_CAPACITY, _GET_STATUS = 0x4C82, 0x4C0A, 0x4C07, 0x4C05
_STATUS_SIZE = 232
_GONE_AT_LAST_CLOSE, _DIRECT = 4, 16
_SETTINGS = struct.Struct("=II40xIIII64s64s32x16x64x")  # descriptor, block size, number, cipher, key, flags, names
_TRIES = 50


@contextmanager
def attached(file: Path) -> Generator[Path, None, None]:
    """A block device that shows a file; it stays while it is mounted, and goes with its last user. Raises OSError.

    One that shows it already is taken: with two, a file system that somebody still holds would be mounted beside
    itself, and neither would know what the other writes.

    What is written passes by the page cache where the file's own file system lets it, so that nothing is kept twice.
    """
    opened = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, path = _known(opened, file) or _configured(opened, file)
    finally:
        os.close(opened)
    try:
        yield path
    finally:
        os.close(device)


def _showing(file: Path) -> list[Path]:
    """The devices that show a file, or another one that had its name."""
    shown = str(file.resolve())  # the kernel tells of paths without links
    found: list[Path] = []
    for entry in Path("/sys/class/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it shows nothing any more
            if entry.read_text().rstrip("\n") == shown:
                found.append(Path("/dev") / entry.parent.parent.name)
    return found


def _known(opened: int, file: Path) -> tuple[int, Path] | None:
    for path in _showing(file):
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # from now on it stays
        status = bytearray(_STATUS_SIZE)
        with suppress(OSError):
            syscalls.ioctl(device, _GET_STATUS, status)
            if struct.unpack_from("=Q", status, 8)[0] == os.fstat(opened).st_ino:
                return device, path
        os.close(device)
    return None


def grow(file: Path) -> None:
    """Let the devices that show a file have the size that it has now. Raises OSError, also when none shows it."""
    if not (devices := _showing(file)):
        raise OSError(errno.ENXIO, "no loop device shows it", str(file))
    for path in devices:
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _SET_CAPACITY)
        finally:
            os.close(device)


def _configured(opened: int, file: Path) -> tuple[int, Path]:
    for _ in range(_TRIES):
        path = _free()
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        name = os.fsencode(file)[:63]
        settings = bytearray(_SETTINGS.pack(opened, 0, 0, 0, 0, _GONE_AT_LAST_CLOSE | _DIRECT, name, b""))
        try:
            syscalls.ioctl(device, _CONFIGURE, settings)
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:  # else somebody else has taken it meanwhile
                raise
        else:
            return device, path
    raise OSError(errno.EBUSY, "all loop devices are taken by others at once", str(CONTROL))


def _free() -> Path:
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        found = fcntl.ioctl(control, _GET_FREE)
    finally:
        os.close(control)
    path = Path(f"/dev/loop{found}")
    if not path.exists():  # without udev nobody makes it
        with suppress(FileExistsError):  # somebody else has been faster
            os.mknod(path, 0o600 | 0o060000, os.makedev(7, found))
    return path
