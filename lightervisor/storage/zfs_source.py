"""Where the datasets of a ZFS pool are: in a pool of ours on a file or block device, or in somebody's pool or dataset.

A pool of ours is made when the storage pool is, which is when its mount point is not there yet; at later starts of the
daemon it is only imported. A dataset carries a mark of whose it is, without which it is never destroyed. Source: LXD
5.0, storage pool configuration of `zfs`; texts compared with LXD 5.0.2.
"""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.errors import Conflict, HostError, Invalid
from lightervisor.kernel import zfs
from lightervisor.storage.btrfs_source import GIB, file_of, usual_size

LEAST = 64 << 20
NAME, INITIAL, OWNER = "zfs.pool_name", "volatile.initial_source", "lightervisor:pool"
PROPERTIES = {
    "mountpoint": "legacy",
    "setuid": "on",
    "exec": "on",
    "devices": "on",
    "acltype": "posixacl",
    "xattr": "sa",
}
NEW_POOL = {"compression": "on", **PROPERTIES}


def completed(root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a new pool, with where it is to be. Raises Invalid with LXD's texts, Conflict."""
    source, name, file = wanted.get("source", ""), wanted.get(NAME, ""), file_of(root)
    if source in ("", str(file)):
        return _completed_file(root, {**wanted, NAME: name or root.name, "source": str(file)}, file)
    rest = {key: value for key, value in wanted.items() if key != "size"}
    if Path(source).is_absolute():
        if not Path(source).is_block_device():
            raise Invalid("storage pool", root.name, text="Custom loop file locations are not supported")
        name = name or root.name
        _check_new(root, name)
        return {**rest, "source": name, NAME: name, INITIAL: source}
    if name not in ("", source):
        raise Invalid("storage pool", root.name, text="The source must match zfs.pool_name if specified")
    _check_empty(root, source)
    return {**rest, NAME: source, INITIAL: source}


def found(root: Path, config: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a pool that no row tells of: on its file, or where its source or name says."""
    source, name = config.get("source", ""), config.get(NAME, "")
    if source and not Path(source).is_absolute():
        return {**config, NAME: name or source}
    return {**config, "source": source or str(file_of(root)), NAME: name or root.name}


def _completed_file(root: Path, config: dict[str, str], file: Path) -> dict[str, str]:
    _check_new(root, config[NAME])
    if file.exists():
        remedy = "it may be recovered: lxd recover; else remove that file"
        raise Conflict("storage pool", root.name, cause=f"{file} is there already", remedy=remedy)
    config["size"] = config.get("size") or f"{usual_size(root) // GIB}GiB"
    if sizes.parse(config["size"]) < LEAST:
        raise Invalid("storage pool", root.name, cause=f"{config['size']} is too small", remedy="64MiB are the least")
    return config


def _check_new(root: Path, name: str) -> None:
    if "/" in name:
        text = "zfs.pool_name can't point to a dataset when source isn't set"
        raise Invalid("storage pool", root.name, text=text)
    if zfs.exists(name):
        remedy = f"choose another zfs.pool_name, or use it: source={name}"
        raise Conflict("storage pool", root.name, cause=f"a zpool {name} is there already", remedy=remedy)


def _check_empty(root: Path, dataset: str) -> None:
    if not zfs.exists(dataset):
        if "/" in dataset and zfs.exists(dataset.partition("/")[0]):
            return
        remedy = "give a zpool or dataset (zfs list), or a block device"
        raise Invalid("storage pool", root.name, cause=f"there is no zpool or dataset {dataset}", remedy=remedy)
    if len(zfs.tree([dataset], ["name"])) > 1:
        text = f'Provided ZFS pool (or dataset) isn\'t empty, run "sudo zfs list {dataset}" to see existing entries'
        raise Invalid("storage pool", root.name, text=text)


class Source:
    """The datasets of one storage pool. Failures are OSError, HostError and Conflict."""

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        self._root, self._config = root, config
        self.dataset = config.get(NAME) or root.name
        self._zpool, _, self._below = self.dataset.partition("/")
        self._file: Path | None = None
        if config.get("source", "") in ("", str(file_of(root))):
            self._file = file_of(root)

    def attach(self) -> None:
        """Have the dataset there: imported, and made with its pool when the storage pool is."""
        is_new = not self._root.is_dir()
        if not zfs.exists(self.dataset):
            self._provide(is_new)
        elif is_new and not self._is_ours() and (self._file or not self._is_free()):
            remedy = "choose another zfs.pool_name"
            raise Conflict("storage pool", self._root.name, cause=f"{self.dataset} is somebody's", remedy=remedy)
        if not self._is_ours():
            zfs.set_properties(self.dataset, {**PROPERTIES, OWNER: str(self._root)})
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._root.chmod(0o711)

    def look(self) -> None:
        """Have a dataset there that somebody made. Raises Conflict when it is another storage pool's."""
        if not zfs.exists(self.dataset):
            self._import(self._file)
        owner = zfs.get(self.dataset, OWNER)[OWNER]
        if owner not in ("-", str(self._root)):
            remedy = f"if that is gone: zfs inherit {OWNER} {self.dataset}"
            raise Conflict("storage pool", self._root.name, cause=f"{self.dataset} is that of {owner}", remedy=remedy)
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)

    def _provide(self, is_new: bool) -> None:
        initial = Path(self._config.get(INITIAL, ""))
        if self._file is not None:
            self._provide_file(self._file, is_new)
        elif is_new and initial.is_absolute():
            self._make(initial)
        elif not zfs.exists(self._zpool):
            self._import(None)
        if is_new and self._below and not zfs.exists(self.dataset):
            zfs.create(self.dataset, PROPERTIES)
        if not zfs.exists(self.dataset):
            raise HostError("storage pool", self._root.name, text="ZFS zpool exists but dataset is missing")

    def _provide_file(self, file: Path, is_new: bool) -> None:
        if file.is_file():
            self._import(file)
            return
        if not is_new:
            raise HostError("storage pool", self._root.name, cause=f"{file} is not there")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = sizes.parse(self._config.get("size") or str(usual_size(self._root)))
        try:
            with file.open("xb") as opened:
                file.chmod(0o600)
                opened.truncate(size)
            self._make(file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def _make(self, place: Path) -> None:
        try:
            zfs.create_pool(self._zpool, place, {**NEW_POOL, OWNER: str(self._root)})
        except HostError as error:
            if not any(word in error.cause for word in ("-f", "contains a", "is part of")):
                raise
            cause, remedy = f"{place} is in use or has a file system", f"if nobody needs it: wipefs -a {place}"
            raise HostError("storage pool", self._root.name, cause=cause, remedy=remedy) from error

    def _import(self, where: Path | None) -> None:
        try:
            zfs.import_pool(self._zpool, where)
        except FileNotFoundError as error:
            cause = f"no file or device of the host has the zpool {self._zpool}"
            raise HostError("storage pool", self._root.name, cause=cause) from error

    def _is_ours(self) -> bool:
        return zfs.get(self.dataset, OWNER)[OWNER] == str(self._root)

    def _is_free(self) -> bool:
        """Whether a dataset that was given belongs to no storage pool."""
        return zfs.get(self.dataset, OWNER)[OWNER] == "-" and len(zfs.tree([self.dataset], ["name"])) == 1

    def remove(self) -> None:
        """Destroy what is marked as ours: a dataset with all below it, or the zpool; and the file that carries it."""
        if not zfs.exists(self.dataset) and self._file is not None and self._file.is_file():
            self._import(self._file)
        if zfs.exists(self.dataset) and self._is_ours():
            if self._below:
                zfs.destroy(self.dataset)
            else:
                zfs.destroy_pool(self._zpool)
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def reconfigure(self, config: Mapping[str, str]) -> None:
        """Make a file larger. Raises Invalid for a smaller one, and for another name."""
        if (config.get(NAME) or self.dataset) != self.dataset:
            raise Invalid("storage pool", self._root.name, text="zfs.pool_name cannot be modified")
        size, before = config.get("size", ""), self._config.get("size", "")
        if not size or not before or sizes.parse(size) == sizes.parse(before):
            return
        if self._file is None:
            raise Invalid("storage pool", self._root.name, cause="only a file of our own can be made larger")
        if sizes.parse(size) < sizes.parse(before):
            raise Invalid("storage pool", self._root.name, cause="the file that carries it cannot be made smaller")
        with self._file.open("r+b") as opened:
            opened.truncate(sizes.parse(size))
        zfs.grow_pool(self._zpool, self._file)
