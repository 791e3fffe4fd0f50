"""Whether a driver can work in a place: it is tried there, in a directory that is removed again."""

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel import fsinfo, mounts, overlay, paths
from lightervisor.kernel.idmap import IdMap, IdRange

MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))
REMEDY = "put the pool on ext4, xfs or btrfs with Linux 5.19 or later"


@contextmanager
def trying(driver: str, root: Path) -> Generator[Path, None, None]:
    """A directory on the file system of a pool to be; failures become Unsupported with the reason.

    What is mounted at its `target` is taken away at the end.
    """
    parent = fsinfo.existing_parent(root)
    if os.geteuid() != 0:
        raise Unsupported("storage driver", driver, cause="it needs root", remedy="run the daemon as root")
    place: Path | None = None
    try:
        place = Path(tempfile.mkdtemp(dir=parent, prefix=".probe-"))
        yield place
    except (OSError, HostError) as error:
        where = f"{fsinfo.type_name(parent)} at {parent}, Linux {os.uname().release}"
        raise Unsupported("storage driver", driver, cause=f"{_reason(error)} ({where})", remedy=REMEDY) from error
    finally:
        if place is not None:
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
