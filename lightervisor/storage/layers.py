"""The layers of an overlay pool, and what each volume and snapshot is made of.

<pool>/layers/<id>/ has `upper`, the files of one layer, and `work`, which the kernel needs beside a writable one. A
volume's `volume.json` names the layer that it writes to, which is its own, and the trees below it, which it may share
with snapshots and other volumes. Changing what a volume is made of is the replacement of that one file, so a killed
daemon leaves it as it was or as it is to be; what nobody names any more goes with the pool's next start at the latest.
"""

import logging
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lightervisor.errors import HostError, NotFound
from lightervisor.kernel import files, mounts, overlay
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage.layout import PoolLayout
from lightervisor.storage.quotas import PoolQuotas

FOLDER = "layers"
log = logging.getLogger(__name__)
PLACES = ("containers", "custom")
_OF_OVERLAYFS = "trusted.overlay."


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """volume.json. Paths below the pool: `top`, the layer to write to ("" in a snapshot), and `lowers`, the trees
    below it, the uppermost first; none without an image. `image` is the fingerprint of the one at the bottom.
    """

    version: int = 2
    image: str = ""
    top: str = ""
    lowers: list[str] = []

    def layers(self) -> list[str]:
        """The layers that this lies on or writes to; the images' trees are not among them."""
        named = [self.top] if self.top else []
        return named + [lower.removesuffix("/upper") for lower in self.lowers if lower.startswith(f"{FOLDER}/")]


class PoolLayers:
    """The layers of one pool. Who makes or drops a reference to a shared one holds `lock`."""

    def __init__(self, layout: PoolLayout, quotas: PoolQuotas) -> None:
        self._layout, self._quotas = layout, quotas
        self.lock = threading.Lock()
        self._readers, self._is_wanted = 0, False
        self._unused: Callable[[], None] | None = None

    def when_unused(self, tell: Callable[[], None]) -> None:
        """Take what is to be told, when that was asked for, once nobody makes anything of a chain any more."""
        self._unused = tell

    def tell_when_unused(self) -> None:
        """Tell when somebody has done with a chain, or let a mount go."""
        self._is_wanted = True

    def let_go(self) -> None:
        """A mount was let go."""
        if self._is_wanted and self._unused is not None:
            self._is_wanted = False
            self._unused()

    def are_read(self) -> bool:
        """Whether somebody makes something of a chain now. The lock is held."""
        return self._readers > 0

    @contextmanager
    def reading(self) -> Generator[None, None, None]:
        """What is read of a chain meanwhile stays what volumes and snapshots are made of. The lock is not held."""
        with self.lock:
            self._readers += 1
        try:
            yield
        finally:
            with self.lock:
                self._readers -= 1
            if not self._readers:
                self.let_go()

    def chains(self) -> dict[Path, Chain]:
        """What every volume and snapshot is made of, by its directory. Raises HostError when one cannot be read."""
        found: dict[Path, Chain] = {}
        for directory in self._directories():
            with suppress(NotFound):
                found[directory] = self.read(directory)
        return found

    def path(self, layer: str) -> Path:
        """The directory of a layer, which has `upper` and `work`."""
        return self._layout.root / layer

    @contextmanager
    def new(self, lowers: Sequence[str], project: int) -> Generator[str, None, None]:
        """Make an empty layer to be written to, over other trees, in a volume's project of quotas.

        It goes again when what follows fails.
        """

        def make(upper: Path) -> None:
            upper.mkdir(mode=0o755)
            if lowers:
                _same_root(self._layout.root / lowers[0], upper)

        with self.made(make, project) as layer:
            yield layer

    @contextmanager
    def taken(self, tree: Path, project: int) -> Generator[str, None, None]:
        """Make a layer of a root directory on this file system, which is moved; it goes when what follows fails."""
        self._layout.check_root(tree.parent)
        with self.made(tree.rename, project) as layer:
            yield layer

    @contextmanager
    def made(self, make: Callable[[Path], object], project: int = 0) -> Generator[str, None, None]:
        """A layer whose `upper` is made by a function; it goes again when what follows fails."""
        layer = f"{FOLDER}/{secrets.token_hex(8)}"
        with self._layout.making("layer") as staged:
            if project:
                self._quotas.begin(staged, project)
            make(staged / "upper")
            (staged / "work").mkdir(mode=0o700)
            self._layout.place(staged, self.path(layer))
        try:
            yield layer
        except BaseException:
            self._layout.trash.discard(self.path(layer))
            raise

    def show(self, lowers: Sequence[str], top: str, target: Path, idmap: IdMap | None) -> None:
        """Mount trees, the uppermost first, and a layer to write to unless it is "". Raises OSError, HostError."""
        trees = [self._layout.root / lower for lower in lowers]
        if (top and trees) or len(trees) > 1:
            both = overlay.Layers(lowers=trees, top=self.path(top) if top else None)
            overlay.mount(both, target, idmap, scratch=self._layout.trash.directory)
            return
        alone = self.path(top) / "upper" if top else trees[0]
        if idmap is not None:
            mounts.bind_idmapped(alone, target, namespace_of(idmap))
        else:
            mounts.bind(alone, target, readonly=not top)

    def is_unwritten(self, chain: Chain) -> bool:
        """Whether a volume's own layer has nothing that the trees below it have not."""
        upper = self.path(chain.top) / "upper"
        if not chain.lowers or any(upper.iterdir()):
            return False
        return _look(upper) == _look(self._layout.root / chain.lowers[0])

    def read(self, directory: Path) -> Chain:
        """What a volume or snapshot is made of. Raises NotFound, and HostError when that cannot be read."""
        path = directory / "volume.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Chain)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("storage pool volume", directory.name) from error
        except (OSError, msgspec.MsgspecError) as error:
            raise HostError("storage volume", directory.name, cause=f"{path} cannot be read: {error}") from error

    def write(self, directory: Path, chain: Chain) -> None:
        """Say what a volume or snapshot is made of, at once.

        Its bytes are on disk before anything is thrown away in favour of it: file systems keep renames in their order,
        but bring what is in a new file to disk half a minute later, and without it a volume cannot be read.
        """
        text = msgspec.json.format(msgspec.json.encode(chain)).decode()
        files.write_whole(directory / "volume.json", text, 0o600, durable=True)

    def frozen(self, directory: Path, chain: Chain) -> list[str]:
        """Trees with a volume's own layer, which is no longer its own: it writes to a new one above."""
        lowers = [f"{chain.top}/upper", *chain.lowers]
        with self.new(lowers, self._quotas.project(directory)) as top:
            self.write(directory, Chain(image=chain.image, top=top, lowers=lowers))
        return lowers

    def drop(self, chain: Chain) -> None:
        """A volume or snapshot made of this is gone: discard what nobody else is made of. The lock is held.

        What cannot be discarded now goes with the pool's next start.
        """
        own, shared = [chain.top] if chain.top else [], set(chain.layers()) - {chain.top}
        if shared:
            used = self._used()
            own += [] if used is None else sorted(shared - used)
        for layer in own:
            try:
                self._layout.trash.discard(self.path(layer))
            except OSError as error:
                log.warning("%s, which nothing is made of, stays until the next start: %s", self.path(layer), error)

    def has_users(self, image: str) -> bool:
        """Whether something lies on an image; also when that cannot be told. The lock is held."""
        try:
            return any(one.image == image for one in self.chains().values())
        except HostError:
            return True

    def sweep(self) -> None:
        """Discard layers that nothing is made of: for the pool's start, before anything else uses it."""
        try:
            used = {layer for chain in self.chains().values() for layer in chain.layers()}
        except HostError as error:
            log.warning("layers of %s that nothing may be made of stay: %s", self._layout.root, error)
            return
        for name in self._layout.entries(FOLDER):
            if f"{FOLDER}/{name}" not in used:
                self._layout.trash.discard(self._layout.root / FOLDER / name)

    def lay_bare(self, folder: str) -> None:
        """Make plain directories of volumes that are a layer over nothing, as daemons up to 2026-11 made custom ones.

        For the pool's start, before anything else uses it. Raises HostError.
        """
        for name in self._layout.entries(folder):
            directory = self._layout.root / folder / name
            with suppress(NotFound):
                chain = self.read(directory)
                try:
                    if (self.path(chain.top) / "upper").is_dir():
                        (self.path(chain.top) / "upper").rename(directory / "rootfs")
                    (directory / "volume.json").unlink()
                except OSError as error:
                    raise self._layout.failure("storage volume", error) from error

    def _used(self) -> set[str] | None:
        """The layers that volumes and snapshots name; None when one of them cannot be read: it may name any."""
        try:
            return {layer for chain in self.chains().values() for layer in chain.layers()}
        except HostError:
            return None

    def _directories(self) -> Generator[Path, None, None]:
        root = self._layout.root
        for place in PLACES:
            yield from (root / place / name for name in self._layout.entries(place))
            for volume in self._layout.entries(f"{place}-snapshots"):
                folder = f"{place}-snapshots/{volume}"
                yield from (root / folder / name for name in self._layout.entries(folder))


def _same_root(lower: Path, upper: Path) -> None:
    """Give a layer the owner, mode, times and attributes of the root below it: the merged root takes them from it."""
    found = lower.stat()
    shutil.copystat(lower, upper)
    for name in os.listxattr(upper):
        if name.startswith(_OF_OVERLAYFS):
            os.removexattr(upper, name)
    os.chown(upper, found.st_uid, found.st_gid)
    upper.chmod(stat.S_IMODE(found.st_mode))


def _look(directory: Path) -> tuple[object, ...]:
    found = directory.stat()
    named = [name for name in os.listxattr(directory) if not name.startswith(_OF_OVERLAYFS)]
    attributes = {name: os.getxattr(directory, name) for name in named}
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, attributes
