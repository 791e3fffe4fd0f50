"""Files inside an instance that are made of its templates. Source: LXD, image format; compared with LXD 5.0.2.

What is due is made at the start, before anything runs: for `volatile.apply_template` (create, copy or rename) once, for
the trigger `start` each time. All templates are rendered before the first file is written.
"""

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from lightervisor.config.merge import Expanded
from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import HostError, Invalid
from lightervisor.images.metadata import LARGEST, parse_loosely
from lightervisor.instances import guest_files
from lightervisor.instances.guest_files import Wanted
from lightervisor.instances.guest_root import GuestRoot
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import in_thread
from lightervisor.model.image import ImageMetadataTemplate
from lightervisor.storage.driver import MountedRoot
from lightervisor.templates.renderer import Job, Renderer

FOLDER = "templates"
PENDING = "volatile.apply_template"
AT_START = "start"
LARGEST_TEMPLATE = 1 << 20
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755


class Due(Struct, frozen=True, kw_only=True):
    """A file that is to be made: its path inside, what is to be rendered, and what it is due for."""

    path: str
    template: ImageMetadataTemplate
    trigger: str


class Templates:
    """Makes the files of all instances."""

    def __init__(self, volumes: InstanceVolumes, renderer: Renderer) -> None:
        self._volumes, self._renderer = volumes, renderer

    async def prepare(self, row: InstanceRow, pool: str) -> None:
        """Make ready what a start is going to need. Raises Invalid for metadata that cannot be read, HostError."""
        if await in_thread(due, self._volumes.directory(pool, row.project, row.name), _triggers(row)):
            await in_thread(self._renderer.prepare)

    async def apply(
        self, row: InstanceRow, expanded: Expanded, pool: str, root: MountedRoot, idmap: IdMap | None
    ) -> bool:
        """Make what is due now; true when every start makes something, so that a reboot inside is one as well.

        Raises Invalid for a template that cannot be rendered, HostError for a file that cannot be written.
        """
        directory = self._volumes.directory(pool, row.project, row.name)

        def work() -> bool:
            found = due(directory, _triggers(row))
            if found:
                with GuestRoot(paths.open_root(root.path), idmap if root.idmapped else None) as guest:
                    self._make(row, expanded, directory, guest, found)
            return any(one.trigger == AT_START for one in found)

        return await in_thread(work)

    def _make(self, row: InstanceRow, expanded: Expanded, directory: Path, guest: GuestRoot, found: list[Due]) -> None:
        wanted: dict[str, Due] = {}
        for one in found:
            if not one.template.create_only or not (one.path in wanted or _is_there(guest, one.path)):
                wanted[one.path] = one
        if not wanted:
            return
        around = _variables(row, expanded)
        jobs = [
            Job(
                name=one.template.template,
                template=_text(directory, row.name, one.template.template),
                variables={
                    **around,
                    "trigger": one.trigger,
                    "path": one.path,
                    "properties": one.template.properties,
                },
            )
            for one in wanted.values()
        ]
        texts = self._renderer.render(jobs, expanded.config, instance=row.name)
        for path, text in zip(wanted, texts, strict=True):
            try:
                _write(guest, path, text)
            except OSError as error:
                raise HostError("template", path, cause=f"cannot be written: {error.strerror}") from error


def due(directory: Path, triggers: list[str]) -> list[Due]:
    """What the metadata of an instance's directory wants made for these triggers, in their order.

    Raises Invalid for metadata that cannot be read.
    """
    try:
        text = paths.read(directory, "metadata.yaml", limit=LARGEST)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Invalid("instance metadata", cause=f"metadata.yaml cannot be read: {error.strerror}") from error
    if b"templates" not in text:  # most starts are done here
        return []
    templates = parse_loosely(text).templates
    return [
        Due(path=path, template=template, trigger=trigger)
        for trigger in triggers
        for path, template in templates.items()
        if template is not None and trigger in template.when
    ]


def _triggers(row: InstanceRow) -> list[str]:
    pending = row.config.get(PENDING, "")
    return [pending, AT_START] if pending and pending != AT_START else [AT_START]


def _variables(row: InstanceRow, expanded: Expanded) -> dict[str, object]:
    instance = {
        "name": row.name,
        "type": "container",
        "architecture": row.architecture,
        "ephemeral": "true" if row.ephemeral else "false",
        "privileged": "true" if is_true(expanded.config.get("security.privileged")) else "false",
    }
    devices: Mapping[str, Mapping[str, str]] = expanded.devices
    return {"instance": instance, "container": instance, "config": dict(expanded.config), "devices": dict(devices)}


def _text(directory: Path, instance: str, name: str) -> bytes:
    """A template's own text; its folder is the root of what a name can reach."""
    try:
        folder = paths.open_beneath(directory, FOLDER, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return paths.read(folder, name, limit=LARGEST_TEMPLATE)
        finally:
            os.close(folder)
    except FileNotFoundError as error:
        remedy = f"lxc config template create {instance} {name}"
        raise Invalid("template", name, cause="the instance has no such template", remedy=remedy) from error
    except OSError as error:
        raise Invalid("template", name, cause=f"cannot be read: {error.strerror}") from error


def _is_there(guest: GuestRoot, path: str) -> bool:
    try:
        return paths.exists(guest.descriptor, path)
    except OSError as error:
        raise HostError("template", path, cause=f"cannot be looked for: {error.strerror}") from error


def _write(guest: GuestRoot, path: str, text: bytes) -> None:
    """Replace a file's content, or make it and the directories above it; links lead nowhere but into the root."""
    above = posixpath.dirname(path.rstrip("/"))
    parts = [part for part in above.split("/") if part]
    for depth in range(1, len(parts) + 1):
        guest_files.make_directory(guest, "/".join(parts[:depth]), Wanted(kind="directory", mode=DIRECTORY_MODE))
    opened = guest_files.open_to_write(guest, path, Wanted(mode=FILE_MODE))
    is_complete = False
    try:
        guest_files.write_all(opened.descriptor, [text])
        is_complete = True
    finally:
        guest_files.close(guest, opened, is_complete=is_complete)
