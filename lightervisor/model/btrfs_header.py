"""What comes before streams of btrfs, in backups as YAML and between servers as JSON. Source: LXD 5.0.2."""

from msgspec import Struct


class BtrfsSubvolume(Struct, frozen=True, kw_only=True):
    """One stream: a volume's own subvolume ("/") or one nested in it, of a snapshot, or of the volume itself ("")."""

    path: str = ""
    snapshot: str = ""
    readonly: bool = False
    uuid: str = ""


class BtrfsHeader(Struct, frozen=True, kw_only=True):
    """All streams that follow, in their order."""

    subvolumes: list[BtrfsSubvolume] = []
