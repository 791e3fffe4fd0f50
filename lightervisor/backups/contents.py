"""What goes into the archive of a backup, in LXD's order: the index, the instance, its snapshots. Source: LXD 5.0.2.

backup/index.yaml                      what else there is (`model/backup_file.py`)
backup/container/{backup.yaml,metadata.yaml,templates,rootfs}
backup/snapshots/NAME/…                the same of each snapshot

Owners are as they are on disk, plain, whatever id map the instance has.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lightervisor.backups import streamed
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.instances.descriptions import FILE, Descriptions
from lightervisor.instances.metadata import FILE as METADATA
from lightervisor.instances.metadata import FOLDER as TEMPLATES
from lightervisor.instances.moment_roots import MomentRoot, MomentRoots
from lightervisor.instances.snapshot_roots import SnapshotRoot, SnapshotRoots
from lightervisor.kernel import files
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.threads import interruptible
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.storage.driver import StorageDriver
from lightervisor.storage.streams import SubvolumeStreams

INDEX, INSTANCE, SNAPSHOTS = "backup/index.yaml", "backup/container", "backup/snapshots"
Members = Sequence[Mapping[str, Path]]
"""Parts that share no links: a server may unpack any of them without the others."""


class Contents:
    """Opens what backups of instances are made of."""

    def __init__(
        self,
        roots: MomentRoots,
        snapshot_roots: SnapshotRoots,
        snapshots: SnapshotRows,
        descriptions: Descriptions,
        drivers: Callable[[str], StorageDriver],
    ) -> None:
        self._roots, self._snapshot_roots = roots, snapshot_roots
        self._snapshots, self._descriptions, self._drivers = snapshots, descriptions, drivers

    @asynccontextmanager
    async def opened(
        self, arguments: Mapping[str, str], scratch: Path, *, instance_only: bool, optimized: bool
    ) -> AsyncGenerator[Members, None]:
        """Files and directories by their names in the archive, while the context lasts.

        `arguments` are those of `MomentRoots`; what is written for the archive alone is in `scratch`. Raises NotFound,
        HostError.
        """
        project, name = arguments["project"], arguments["name"]
        async with AsyncExitStack() as stack:
            kept: dict[str, SnapshotRoot] = {}
            for row in [] if instance_only else self._snapshots.of(project, name):
                opened = self._snapshot_roots.opened(project, name, row.name)
                kept[row.name] = await stack.enter_async_context(opened)
            root = await stack.enter_async_context(self._roots.opened(arguments))
            driver = self._drivers(root.pool)
            if optimized and isinstance(driver, SubvolumeStreams):
                yield await self._streams(driver, root, kept, scratch)
            else:
                yield self._members(root, kept, scratch)

    async def _streams(
        self, driver: SubvolumeStreams, root: MomentRoot, kept: Mapping[str, SnapshotRoot], scratch: Path
    ) -> Members:
        members, config, index = self._index(root, kept, scratch, optimized=True)
        trees = {**{name: kept[name].directory for name in index.snapshots}, "": root.directory}
        watch = Watch()

        def describe(copy: Path) -> None:
            files.write_whole(copy / FILE, yaml_documents.dump(config), 0o400)

        write = functools.partial(streamed.written, driver, trees, scratch, watch, describe=describe)
        written = await interruptible(watch.cancel, write)
        return [{**members, **written}]

    def _index(
        self, root: MomentRoot, kept: Mapping[str, SnapshotRoot], scratch: Path, *, optimized: bool
    ) -> tuple[dict[str, Path], BackupConfig, BackupIndex]:
        config = self._descriptions.of(root.row, root.pool, only=kept)
        index = BackupIndex(
            name=root.row.name,
            backend=config.pool.driver if config.pool else "",
            pool=root.pool,
            snapshots=[one.name for one in config.snapshots],
            optimized=optimized,
            optimized_header=optimized,
            type="container",
            config=config,
        )
        written = scratch / "index.yaml"
        written.write_text(yaml_documents.dump(index))
        return {INDEX: written}, config, index

    def _members(self, root: MomentRoot, kept: Mapping[str, SnapshotRoot], scratch: Path) -> Members:
        members, config, index = self._index(root, kept, scratch, optimized=False)
        described = scratch / FILE
        described.write_text(yaml_documents.dump(config))
        members |= {f"{INSTANCE}/{FILE}": described, **_tree(INSTANCE, root)}
        return [members, *(_tree(f"{SNAPSHOTS}/{name}", kept[name]) for name in index.snapshots)]


def _tree(place: str, root: MomentRoot | SnapshotRoot) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if (root.directory / METADATA).is_file():
        found[f"{place}/{METADATA}"] = root.directory / METADATA
    found[f"{place}/rootfs"] = root.path
    if (root.directory / TEMPLATES).is_dir():
        found[f"{place}/{TEMPLATES}"] = root.directory / TEMPLATES
    return found | {f"{place}/rootfs/{guest}": host for guest, host in root.plain.items()}
