"""The directories of a pool, which are LXD's, and the one way things come into and go out of them.

<pool>/containers/<name>/, <pool>/custom/<name>/ and <pool>/images/<fingerprint>/ each with `rootfs`, the same of
snapshots in <pool>/containers-snapshots/<name>/<snapshot>/; <pool>/trash/ for what is being made or removed. Source:
LXD's storage layout.
"""

import errno
import functools
import os
import shutil
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from lightervisor.errors import Conflict, Failure, HostError, Invalid, NotFound
from lightervisor.kernel import fsinfo, mounts, paths, placing, syscalls
from lightervisor.storage.trash import Trash

# A container's root walks through `containers` to its own volume; images hold setuid programs of root.
FOLDERS = {
    "containers": 0o711,
    "custom": 0o711,
    "containers-snapshots": 0o700,
    "custom-snapshots": 0o700,
    "images": 0o700,
    "trash": 0o700,
}
BESIDE = ("metadata.yaml", "templates")
DESCRIPTION = "backup.yaml"
TEMPLATE_LIMIT = 64 << 20


class PoolUsage(Struct, frozen=True, kw_only=True):
    """Bytes and inodes of the file system that carries a pool."""

    space_used: int
    space_total: int
    inodes_used: int
    inodes_total: int


class PoolLayout:
    """The directories below one pool's root; `own` are those that only its driver has, with their modes."""

    def __init__(self, root: Path, own: Mapping[str, int]) -> None:
        self.root = root
        self._folders = {**FOLDERS, **own}
        self._replaced: set[Path] = set()
        self.settle: Callable[[Path], None] = lambda _: None
        """What is done to a directory before it gets its place."""
        self.replaced: Callable[[Path], None] = lambda _: None
        """What is done with one that has lost its place to another."""
        self.trash = Trash(root / "trash")

    def prepare(self, source: Path | None) -> None:
        """Make what is missing, bind another directory of the host there if the pool lives in one, empty the trash."""
        try:
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            if source and not mounts.is_mountpoint(self.root):
                mounts.bind(source, self.root)
            for name, mode in self._folders.items():
                (self.root / name).mkdir(exist_ok=True)
                (self.root / name).chmod(mode)
            placing.spread(self.trash.directory)  # all that is made is made there
            self.trash.empty()
        except OSError as error:
            raise self.failure("storage pool", error) from error

    def remove(self) -> None:
        """Remove the pool with all its images. Raises Conflict while there are volumes."""
        self.check_no_volumes()
        try:
            if (self.root / "images").is_dir():
                self.trash.discard(self.root / "images")
            self.trash.wait()
            if self.trash.directory.is_dir():
                for place in self.trash.directory.iterdir():
                    self.trash.remove(place)
            for name in self._folders:
                paths.remove_tree(self.root / name)
            mounts.umount(self.root, lazy=True)
            if self.root.is_dir():
                self.root.rmdir()
        except OSError as error:
            raise self.failure("storage pool", error) from error

    def check_no_volumes(self) -> None:
        """Raise Conflict while there are volumes."""
        for kind in ("containers", "custom"):
            if names := self.entries(kind):
                cause = f"{kind}/{names[0]} is still in it"
                raise Conflict("storage pool", self.root.name, cause=cause, remedy="delete or move what is in it")

    def entries(self, folder: str) -> list[str]:
        """The names in one of the pool's directories."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root / folder) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def open_directory(self, path: Path) -> int:
        """A descriptor (O_PATH) of a directory of ours: the caller's to close. Raises NotFound, HostError."""
        try:
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound("storage pool volume", path.parent.name) from error
        except OSError as error:
            raise self.failure("storage volume", error) from error

    @contextmanager
    def failures(self, what: str) -> Generator[None, None, None]:
        """Let what fails meanwhile be a failure of this, which raises HostError."""
        try:
            yield
        except OSError as error:
            raise self.failure(what, error) from error

    # Making and discarding

    @contextmanager
    def making(self, what: str) -> Generator[Path, None, None]:
        """A directory to make something in; what was not put in its place at the end is removed.

        Failures of the system become HostError, a full file system one clear message.
        """
        staged: Path | None = None
        try:
            staged = self.trash.new()
            yield staged
        except OSError as error:
            raise self.failure(what, error) from error
        except HostError as error:
            if os.strerror(errno.ENOSPC) in error.cause or fsinfo.is_full(self.root):
                raise self._full(what) from error
            raise
        finally:
            replaced = {one for one in list(self._replaced) if staged in (one, one.parent)}
            if staged is not None and replaced:
                self._replaced -= replaced
                self.trash.behind(functools.partial(self.trash.remove, staged))
            elif staged is not None and staged.exists():
                self.trash.remove(staged)

    def flush(self) -> None:
        """Bring what was made to disk, before it gets its name: file systems keep renames, not what is in files.

        Without this a power cut half a minute later leaves whole directories of empty files. Raises OSError.
        """
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.sync_file_system(root)
        finally:
            os.close(root)

    def keep(self) -> None:
        """Bring what has its name to disk, name included: a rename after a `flush` may be lost. Raises HostError.

        Source: syncfs(2).
        """
        try:
            self.flush()
        except OSError as error:
            raise self.failure("storage pool", error) from error

    def place(self, staged: Path, target: Path) -> bool:
        """Move what was made to its place; false when someone else put it there meanwhile."""
        self.settle(staged)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
        return True

    def exchange(self, staged: Path, target: Path) -> None:
        """Put what was made where something is, at once; that is removed behind, at the end of `making`.

        The description of the volume stays, until it is written anew: without one a lost database loses the volume.
        """
        self.settle(staged)
        (staged / DESCRIPTION).unlink(missing_ok=True)  # of what it was made of
        if (target / DESCRIPTION).is_file():
            shutil.copy2(target / DESCRIPTION, staged / DESCRIPTION)
        syscalls.exchange(staged, target)
        self._replaced.add(staged)
        self.replaced(staged)

    def rename(self, old: Path, new: Path) -> None:
        """Move a volume; nothing happens when that was done already. Raises Conflict when the name is taken."""
        if not old.is_dir():
            if new.is_dir():
                return
            raise NotFound("storage pool volume", old.name)
        try:
            taken = not self.place(old, new)
        except OSError as error:
            raise self.failure("storage volume", error) from error
        if taken:
            raise Conflict("storage volume", new.name, cause="this name is taken", remedy="choose another name")

    def failure(self, what: str, error: OSError) -> Failure:
        """The error of ours for a failed system call in this pool."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return self._full(what)
        if error.errno == errno.ENAMETOOLONG:
            return too_long(what)
        where = f"{error.filename}: " if error.filename else ""
        return HostError(what, cause=f"{where}{error.strerror or error}")

    def _full(self, what: str) -> HostError:
        return HostError(
            what,
            cause=f"no space is left in storage pool {self.root.name!r}",
            remedy=f"free some space on the file system of {self.root}",
        )

    # Images

    def image_path(self, fingerprint: str) -> Path:
        """The directory of an image. Raises Invalid for what cannot be a fingerprint."""
        if not fingerprint or not fingerprint.isalnum():
            raise Invalid("image", fingerprint, cause="this is not a fingerprint")
        return self.root / "images" / fingerprint

    def images(self) -> list[str]:
        """Fingerprints of the images that are here and not deleted."""
        return [name for name in self.entries("images") if self.has_image(name)]

    def has_image(self, fingerprint: str) -> bool:
        """Whether an image is here and not deleted."""
        path = self.image_path(fingerprint)
        return path.is_dir() and not self.tombstone(fingerprint).exists()

    def tombstone(self, fingerprint: str) -> Path:
        """The file that says that an image is deleted, though volumes still need its files."""
        return self.root / "images" / f"{fingerprint}.deleted"

    def check_image(self, directory: Path) -> None:
        """Raise Invalid unless an unpacked image has a root directory."""
        self.check_root(directory, "image", "build the image again")

    def check_root(self, directory: Path, what: str = "storage volume", remedy: str = "") -> None:
        """Raise Invalid unless there is a root directory that is one: a link could lead anywhere."""
        try:
            found = (directory / "rootfs").lstat()
        except FileNotFoundError:
            found = None
        if found is None or not stat.S_ISDIR(found.st_mode):
            raise Invalid(what, cause="it has no directory rootfs", remedy=remedy)

    def copy_beside(self, image: Path, target: Path) -> None:
        """Copy metadata.yaml and the templates of an image, regular files only, for a volume to have its own."""
        for name in BESIDE:
            if not paths.exists(image, name):
                continue
            mode = paths.stat(image, name).st_mode
            if stat.S_ISREG(mode):
                _copy_file(image, target, name)
            elif stat.S_ISDIR(mode):
                (target / name).mkdir(mode=0o700)
                for template in paths.names(image, name):
                    if stat.S_ISREG(paths.stat(image, f"{name}/{template}").st_mode):
                        _copy_file(image, target, f"{name}/{template}")

    def is_same_beside(self, one: Path, other: Path) -> bool:
        """Whether metadata.yaml and the templates of two volumes are the same."""
        return _beside(one) == _beside(other)

    def usage(self) -> PoolUsage:
        """Space and inodes of the file system that carries the pool. Raises HostError."""
        try:
            space = fsinfo.space(self.root)
        except OSError as error:
            raise self.failure("storage pool", error) from error
        return PoolUsage(
            space_used=space.used,
            space_total=space.total,
            inodes_used=space.inodes_used,
            inodes_total=space.inodes_total,
        )


def too_long(what: str) -> HostError:
    """What the kernel, and programs that work by whole paths, cannot reach: guests nest it step by step."""
    cause = "something in it has a path of more than 4,095 bytes, which cannot be named"
    return HostError(what, cause=cause, remedy="move it up in its tree, or shorten the names of its directories")


def _beside(directory: Path) -> dict[str, bytes]:
    found = [name for name in BESIDE if paths.exists(directory, name)]
    if "templates" in found:
        found.remove("templates")
        found += [f"templates/{name}" for name in paths.names(directory, "templates")]
    regular = [name for name in found if stat.S_ISREG(paths.stat(directory, name).st_mode)]
    return {name: paths.read(directory, name, limit=TEMPLATE_LIMIT) for name in regular}


def _copy_file(source: Path, target: Path, name: str) -> None:
    content = paths.read(source, name, limit=TEMPLATE_LIMIT)
    descriptor = paths.open_beneath(target, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
