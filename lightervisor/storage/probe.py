"""Whether a driver can work in a place: it is tried there, in a directory that is removed again.

Who tries holds a lock on the directory, so one without it is of a daemon that was killed meanwhile: the next who tries
in the same place removes it.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel import fsinfo, mounts, overlay, paths
from lightervisor.kernel.idmap import IdMap, IdRange

MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))
PREFIX = ".probe-"
REMEDY = "put the pool on ext4, xfs or btrfs with Linux 5.19 or later"


@contextmanager
def trying(driver: str, root: Path) -> Generator[Path, None, None]:
    """A directory on the file system of a pool to be; failures become Unsupported with the reason.

    What is mounted at its `target` is taken away at the end.
    """
    parent = fsinfo.existing_parent(root)
    if os.geteuid() != 0:
        raise Unsupported("storage driver", driver, cause="it needs root", remedy="run the daemon as root")
    try:
        with _own_directory(parent) as place:
            yield place
    except (OSError, HostError) as error:
        where = f"{fsinfo.type_name(parent)} at {parent}, Linux {os.uname().release}"
        raise Unsupported("storage driver", driver, cause=f"{_reason(error)} ({where})", remedy=REMEDY) from error


@contextmanager
def _own_directory(parent: Path) -> Generator[Path, None, None]:
    with ExitStack() as held:
        with _directory(parent) as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)  # nobody looks for what is left while this one has no lock yet
            for left in parent.glob(f"{PREFIX}*"):
                _remove_unless_locked(left)
            place = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
            held.callback(_remove, place)
            fcntl.flock(held.enter_context(_directory(place)), fcntl.LOCK_EX)
        yield place


@contextmanager
def _directory(path: Path) -> Generator[int, None, None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_unless_locked(place: Path) -> None:
    with suppress(OSError), _directory(place) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(place)


def _remove(place: Path) -> None:
    mounts.umount(place / "target", lazy=True)
    paths.remove_tree(place)


def check_writable(target: Path) -> None:
    """Raise OSError unless the map's root can make files in a mounted target and owns them."""
    place = target / "written"

    def write() -> None:
        descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        found = os.fstat(descriptor)
        os.close(descriptor)
        place.unlink()
        if found.st_uid != MAP.host_root:
            raise OSError(errno.EOVERFLOW, "files get another owner than the map's root")

    overlay.run_as(MAP.host_root, MAP.host_root_gid, write)


def _reason(error: OSError | HostError) -> str:
    if isinstance(error, HostError):
        return error.cause
    if error.errno == errno.EINVAL:
        return "the file system has no id-mapped mounts"
    if error.errno == errno.ENOSYS:
        return "the kernel has no id-mapped mounts"
    return error.strerror or str(error)
