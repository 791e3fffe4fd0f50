"""What goes into the archive of a backup, in LXD's order: the index, the instance, its snapshots. Source: LXD 5.0.2.

backup/index.yaml                      what else there is (`model/backup_file.py`)
backup/container/{backup.yaml,metadata.yaml,templates,rootfs}
backup/snapshots/NAME/…                the same of each snapshot

Owners are as they are on disk, plain, whatever id map the instance has.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.instances.descriptions import FILE, Descriptions
from lightervisor.instances.metadata import FILE as METADATA
from lightervisor.instances.metadata import FOLDER as TEMPLATES
from lightervisor.instances.moment_roots import MomentRoot, MomentRoots
from lightervisor.instances.snapshot_roots import SnapshotRoot, SnapshotRoots
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupIndex

INDEX, INSTANCE, SNAPSHOTS = "backup/index.yaml", "backup/container", "backup/snapshots"
Members = Sequence[Mapping[str, Path]]
"""Parts that share no links: a server may unpack any of them without the others."""


class Contents:
    """Opens what backups of instances are made of."""

    def __init__(
        self, roots: MomentRoots, snapshot_roots: SnapshotRoots, snapshots: SnapshotRows, descriptions: Descriptions
    ) -> None:
        self._roots, self._snapshot_roots = roots, snapshot_roots
        self._snapshots, self._descriptions = snapshots, descriptions

    @asynccontextmanager
    async def opened(
        self, arguments: Mapping[str, str], scratch: Path, *, instance_only: bool
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
            yield self._members(root, kept, scratch)

    def _members(self, root: MomentRoot, kept: Mapping[str, SnapshotRoot], scratch: Path) -> Members:
        config = self._descriptions.of(root.row, root.pool, only=kept)
        index = BackupIndex(
            name=root.row.name,
            backend=config.pool.driver if config.pool else "",
            pool=root.pool,
            snapshots=[one.name for one in config.snapshots],
            type="container",
            config=config,
        )
        written, described = scratch / "index.yaml", scratch / FILE
        written.write_text(yaml_documents.dump(index))
        described.write_text(yaml_documents.dump(config))
        members = {INDEX: written, f"{INSTANCE}/{FILE}": described, **_tree(INSTANCE, root)}
        return [members, *(_tree(f"{SNAPSHOTS}/{name}", kept[name]) for name in index.snapshots)]


def _tree(place: str, root: MomentRoot | SnapshotRoot) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if (root.directory / METADATA).is_file():
        found[f"{place}/{METADATA}"] = root.directory / METADATA
    found[f"{place}/rootfs"] = root.path
    if (root.directory / TEMPLATES).is_dir():
        found[f"{place}/{TEMPLATES}"] = root.directory / TEMPLATES
    return found | {f"{place}/rootfs/{guest}": host for guest, host in root.plain.items()}
