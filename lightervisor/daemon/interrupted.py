"""What finishes or undoes the work of a daemon that died."""

from lightervisor.backups import backups, recover, volume_backups
from lightervisor.daemon.backup_wiring import Saved
from lightervisor.daemon.birth_wiring import Born
from lightervisor.daemon.snapshot_wiring import Kept
from lightervisor.instances import (
    births,
    copy_sources,
    delete,
    moment_roots,
    moving,
    rebuild,
    snapshot_arrivals,
    snapshot_restore,
    snapshot_take,
    still_roots,
)
from lightervisor.instances import snapshots as snapshot_changes
from lightervisor.instances.delete import Removal
from lightervisor.instances.rebuild import Rebuilding
from lightervisor.operations.journal import Journal


def register(journal: Journal, born: Born, removal: Removal, rebuilding: Rebuilding, kept: Kept, saved: Saved) -> None:
    """Give the journal the action behind each name that instances, snapshots and backups note."""
    journal.register(births.UNDO, born.births.undo)
    journal.register(copy_sources.DROP, born.sources.drop)
    journal.register(copy_sources.LET_GO, born.sources.let_go)
    journal.register(moving.UNDO, born.moving.undo)
    journal.register(delete.FINISH_DELETE, removal.finish)
    journal.register(delete.RENAME_BACK, removal.rename_back)
    journal.register(rebuild.UNDO, rebuilding.undo)
    journal.register(snapshot_take.UNDO, kept.taking.undo)
    journal.register(snapshot_arrivals.DROP, born.arrivals.drop)
    journal.register(snapshot_arrivals.FINISH, born.arrivals.finish)
    journal.register(snapshot_restore.UNDO, kept.restoring.undo)
    journal.register(snapshot_changes.FINISH_DELETE, kept.snapshots.finish)
    journal.register(snapshot_changes.RENAME_BACK, kept.snapshots.rename_back)
    journal.register(still_roots.UNDO, saved.still_roots.undo)
    journal.register(moment_roots.UNDO, saved.roots.undo)
    journal.register(backups.UNDO, saved.backups.undo)
    journal.register(volume_backups.UNDO, saved.volume_backups.undo)
    journal.register(recover.UNDO, saved.recovery.undo)
