"""Files in instances, running or stopped. Source: LXD, /1.0/instances/<name>/files."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal

from msgspec import Struct

from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor

Kind = Literal["file", "directory", "symlink"]


class Found(Struct, frozen=True, kw_only=True):
    """What is at a path: owner and mode as the instance sees them, and its content in the field of its kind.

    `descriptor` is a regular file open for reading (`size` bytes), -1 for other kinds and for HEAD; it is
    closed with the context that gave it. `modified_ns` is since the epoch.
    """

    kind: Kind
    uid: int
    gid: int
    mode: int
    modified_ns: int
    size: int = 0
    descriptor: int = -1
    names: list[str] = []  # msgspec copies it
    target: str = ""


class Wanted(Struct, frozen=True, kw_only=True):
    """What a POST asks for: the X-LXD-* headers; owner and mode count only when the file is made."""

    kind: str = "file"
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    is_append: bool = False


class Files:
    """The files of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, volumes: InstanceVolumes, events: Events) -> None:
        self._catalog, self._boot, self._volumes, self._events = catalog, boot, volumes, events

    def open(
        self,
        project: str,
        name: str,
        path: str,
        *,
        head: bool = False,
        requestor: EventLifecycleRequestor | None = None,
    ) -> AbstractAsyncContextManager[Found]:
        """What is at a path, open while the context lasts. Raises NotFound, Invalid for an empty path."""
        raise NotImplementedError

    async def write(
        self,
        project: str,
        name: str,
        path: str,
        wanted: Wanted,
        content: AsyncIterator[bytes],
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """Make or overwrite what is at a path from a stream of bytes (a link's target for a symlink).

        Raises NotFound for a missing parent, Invalid, Failure with LXD's texts.
        """
        raise NotImplementedError

    async def delete(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Remove a file or an empty directory. Raises NotFound, Invalid, Failure with LXD's text."""
        raise NotImplementedError
