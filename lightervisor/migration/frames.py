"""What two servers say to one another on the control websocket: each message is one binary frame.

Names and numbers are those of LXD's migrate.proto. Source: LXD REST API, migration.
"""

import enum
from collections.abc import Mapping
from typing import ClassVar

from lightervisor.migration.protobuf import Message


class FilesBy(enum.IntEnum):
    """How files travel: LXD's MigrationFSType."""

    RSYNC = 0
    BTRFS = 1
    ZFS = 2
    RBD = 3
    BLOCK_AND_RSYNC = 4


class MemoryBy(enum.IntEnum):
    """How what runs travels: LXD's CRIUType. NOTHING says that the source runs, and stays where it is."""

    CRIU = 0
    PHAUL = 1
    NOTHING = 2


class Range(Message, frozen=True, kw_only=True):
    """LXD's IDMapType: a range of the map that the owners of the sent files are of."""

    WIRE: ClassVar = {1: ("is_uid", bool), 2: ("is_gid", bool), 3: ("host", int), 4: ("guest", int), 5: ("count", int)}
    REQUIRED: ClassVar = ("is_uid", "is_gid", "host", "guest", "count")
    is_uid: bool
    is_gid: bool
    host: int
    guest: int
    count: int


class Pair(Message, frozen=True, kw_only=True):
    """LXD's Config: a key and its value."""

    WIRE: ClassVar = {1: ("key", str), 2: ("value", str)}
    REQUIRED: ClassVar = ("key", "value")
    key: str
    value: str


class Device(Message, frozen=True, kw_only=True):
    """LXD's Device."""

    WIRE: ClassVar = {1: ("name", str), 2: ("pairs", Pair)}
    REQUIRED: ClassVar = ("name",)
    name: str
    pairs: tuple[Pair, ...] = ()


class Snapshot(Message, frozen=True, kw_only=True):
    """LXD's Snapshot; dates are seconds since 1970, `architecture` is LXD's number."""

    WIRE: ClassVar = {
        1: ("name", str),
        2: ("config", Pair),
        3: ("profiles", str),
        4: ("ephemeral", bool),
        5: ("devices", Device),
        6: ("architecture", int),
        7: ("stateful", bool),
        8: ("created_at", int),
        9: ("last_used_at", int),
        10: ("expires_at", int),
    }
    REQUIRED: ClassVar = ("name",)
    name: str
    config: tuple[Pair, ...] = ()
    profiles: tuple[str, ...] = ()
    ephemeral: bool = False
    devices: tuple[Device, ...] = ()
    architecture: int = 0
    stateful: bool = False
    created_at: int = 0
    last_used_at: int = 0
    expires_at: int = 0


class RsyncFeatures(Message, frozen=True, kw_only=True):
    """LXD's rsyncFeatures: options that both rsyncs need."""

    WIRE: ClassVar = {1: ("xattrs", bool), 2: ("delete", bool), 3: ("compress", bool), 4: ("bidirectional", bool)}
    xattrs: bool = False
    delete: bool = False
    compress: bool = False
    bidirectional: bool = False


class BtrfsFeatures(Message, frozen=True, kw_only=True):
    """LXD's btrfsFeatures: what is told before the streams."""

    WIRE: ClassVar = {
        1: ("migration_header", bool),
        2: ("header_subvolumes", bool),
        3: ("header_subvolume_uuids", bool),
    }
    migration_header: bool = False
    header_subvolumes: bool = False
    header_subvolume_uuids: bool = False


class Header(Message, frozen=True, kw_only=True):
    """LXD's MigrationHeader: what the source offers, and what the target takes of it.

    `snapshot_memory` is ours alone: stateful snapshots come with their memory.
    """

    WIRE: ClassVar[Mapping[int, tuple[str, type[bool | int | str | Message]]]] = {
        1: ("files_by", int),
        2: ("memory_by", int),
        3: ("idmap", Range),
        4: ("snapshot_names", str),
        5: ("snapshots", Snapshot),
        7: ("predump", bool),
        8: ("rsync", RsyncFeatures),
        9: ("refresh", bool),
        11: ("volume_size", int),
        12: ("btrfs", BtrfsFeatures),
        13: ("index_version", int),
        1001: ("snapshot_memory", bool),
    }
    REQUIRED: ClassVar = ("files_by",)
    files_by: int
    memory_by: int | None = None
    idmap: tuple[Range, ...] = ()
    snapshot_names: tuple[str, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    predump: bool | None = None
    rsync: RsyncFeatures | None = None
    refresh: bool | None = None
    volume_size: int | None = None
    btrfs: BtrfsFeatures | None = None
    index_version: int | None = None
    snapshot_memory: bool | None = None


class Control(Message, frozen=True, kw_only=True):
    """LXD's MigrationControl: how it ended."""

    WIRE: ClassVar = {1: ("success", bool), 2: ("message", str)}
    REQUIRED: ClassVar = ("success",)
    success: bool
    message: str = ""
