"""Whose files those of a disk are, seen from inside.

A container's ids are others than the host's, so files of a user of the host would be nobody's inside. They are shown
with the container's own ids by an id-mapped mount: those of a volume always, those of a directory of the host when
`shift` says so. Without a word about it, what belongs to a user of the host is shown as that user's, all ids but
root's: nothing that is root's on the host can be made or changed from inside.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lightervisor.config.types import is_true
from lightervisor.errors import HostError
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.idmap_raw import without_root

NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class VolumeSource:
    """The resource of a disk with `pool`: how to open the volume's root, where owners are those inside.

    `unmapped` says that they are shown as they are.
    """

    open: Callable[[], int]
    unmapped: bool = False


class Shift(NamedTuple):
    """The map that a disk is shown with, and whether somebody asked for it."""

    idmap: IdMap
    is_asked: bool


def wanted(
    options: Mapping[str, str], idmap: IdMap | None, resource: object | None, source: os.stat_result
) -> Shift | None:
    """How the owners of a source are to be shown; None as they are."""
    if idmap is None:
        return None
    if isinstance(resource, VolumeSource):
        return None if resource.unmapped else Shift(idmap, is_asked=True)
    asked = options.get("shift")
    if asked:
        return Shift(idmap, is_asked=True) if is_true(asked) else None
    is_seen = idmap.to_guest(source.st_uid, "uid") != NOBODY or source.st_uid == NOBODY
    return None if source.st_uid == 0 or is_seen else Shift(without_root(idmap), is_asked=False)


def refusal(device: str, instance: str, source: str, found: os.stat_result) -> HostError:
    """The error of a file system that cannot show other owners, with the line of `raw.idmap` that helps."""
    uid, gid = found.st_uid, found.st_gid
    cause = f"the file system of {source} cannot show other owners"
    if uid == 0:
        return HostError("disk", device, cause=cause, remedy=f"lxc config device unset {instance} {device} shift")
    entry = f'"both {uid} {uid}"' if uid == gid else f"\"$(printf 'uid {uid} {uid}\\ngid {gid} {gid}')\""
    remedy = (
        f"lxc config device unset {instance} {device} shift, lxc config set {instance} raw.idmap {entry}, "
        f"then lxc restart {instance}"
    )
    return HostError("disk", device, cause=cause, remedy=remedy)
