"""metadata.yaml of an instance and its templates, which are files of its volume beside the root.

Source: LXD, /1.0/instances/<name>/metadata; texts compared with LXD 5.0.2.
"""

import asyncio
import os
import secrets
import stat as modes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from lightervisor.errors import Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.images.metadata import LARGEST, parse_loosely
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import ImageMetadata

FILE, FOLDER = "metadata.yaml", "templates"
TEMPLATE_LIMIT = 64 << 20
LONGEST_NAME = 255


class Metadata:
    """Metadata and templates of all instances; every function raises NotFound for an unknown instance."""

    def __init__(self, catalog: Catalog, volumes: InstanceVolumes, events: Events) -> None:
        self._catalog, self._volumes, self._events = catalog, volumes, events

    async def get(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> ImageMetadata:
        """The metadata; an instance without any has an empty one. Raises Invalid for a file that cannot be read."""
        found = await asyncio.to_thread(_read, self._directory(project, name))
        self._publish("retrieved", project, name, requestor)
        return found

    async def replace(
        self, project: str, name: str, metadata: ImageMetadata, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Write other metadata."""
        await asyncio.to_thread(_write, self._directory(project, name), metadata)
        self._publish("updated", project, name, requestor)

    async def merge(
        self, project: str, name: str, fields: Mapping[str, object], requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """PATCH: change the fields that are given, and in maps the keys that are given. Raises Invalid."""
        directory = self._directory(project, name)

        def change() -> None:
            _write(directory, _merged(_read(directory), fields))

        await asyncio.to_thread(change)
        self._publish("updated", project, name, requestor)

    async def templates(self, project: str, name: str) -> list[str]:
        """The names of the templates."""
        return await asyncio.to_thread(_templates, self._directory(project, name))

    async def template(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> bytes:
        """The text of a template. Raises NotFound with LXD's text, Invalid for a path that is no name."""
        directory, path = self._directory(project, name), _checked(path)

        def read() -> bytes:
            _check_is_template(directory, path)
            return paths.read(directory, f"{FOLDER}/{path}", limit=TEMPLATE_LIMIT)

        content = await asyncio.to_thread(read)
        self._publish("template-retrieved", project, name, requestor, path)
        return content

    async def write_template(
        self, project: str, name: str, path: str, content: bytes, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Make or replace a template. Raises Invalid for a path that is no name."""
        directory, path = self._directory(project, name), _checked(path)

        def write() -> None:
            paths.mkdir(directory, FOLDER, 0o711, parents=True)
            _write_whole(directory, f"{FOLDER}/{path}", content)

        await asyncio.to_thread(write)
        self._publish("template-created", project, name, requestor, path)

    async def delete_template(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Remove a template. Raises NotFound, Invalid."""
        directory, path = self._directory(project, name), _checked(path)

        def remove() -> None:
            _check_is_template(directory, path)
            paths.unlink(directory, f"{FOLDER}/{path}")

        await asyncio.to_thread(remove)
        self._publish("template-deleted", project, name, requestor, path)

    def _directory(self, project: str, name: str) -> Path:
        expanded = self._catalog.expand(self._catalog.row(project, name))
        return self._volumes.directory(self._volumes.pool_of(expanded.devices), project, name)

    def _publish(
        self, action: str, project: str, name: str, requestor: EventLifecycleRequestor | None, path: str = ""
    ) -> None:
        place, context = (f"{name}/metadata/templates", {"path": path}) if path else (f"{name}/metadata", None)
        self._events.happened("instance", f"metadata-{action}", place, project, requestor, context)


def _read(directory: Path) -> ImageMetadata:
    try:
        return parse_loosely(paths.read(directory, FILE, limit=LARGEST))
    except FileNotFoundError:
        return ImageMetadata()
    except OSError as error:
        raise Invalid("instance metadata", cause=f"{FILE} cannot be read: {error.strerror}") from error


def _write(directory: Path, metadata: ImageMetadata) -> None:
    text = yaml.safe_dump(msgspec.to_builtins(metadata), sort_keys=False, allow_unicode=True)
    _write_whole(directory, FILE, text.encode())


def _merged(metadata: ImageMetadata, fields: Mapping[str, object]) -> ImageMetadata:
    document: dict[str, Any] = msgspec.to_builtins(metadata)
    for key, value in fields.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            document[key] |= cast("dict[str, Any]", value)
        else:
            document[key] = value
    try:
        return msgspec.convert(document, ImageMetadata)
    except msgspec.ValidationError as error:
        raise Invalid("instance metadata", cause=str(error)) from error


def _templates(directory: Path) -> list[str]:
    try:
        names = paths.names(directory, FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if modes.S_ISREG(paths.stat(directory, f"{FOLDER}/{name}").st_mode)]


def _checked(path: str) -> str:
    if path in ("", ".", "..") or "/" in path or "\0" in path or len(os.fsencode(path)) > LONGEST_NAME:
        raise Invalid("template", path, text="Invalid template filename")
    return path


def _check_is_template(directory: Path, path: str) -> None:
    if path not in _templates(directory):
        raise NotFound("template", path, text=f'Template "{path}" not found')


def _write_whole(directory: Path, path: str, content: bytes) -> None:
    """Put a file in its place with all of its content, or not at all."""
    head, slash, name = path.rpartition("/")
    staged = f"{head}{slash}.new-{secrets.token_hex(4)}"
    descriptor = paths.open_beneath(directory, staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        paths.rename(directory, staged, f"{head}{slash}{name}")
    except BaseException:
        paths.unlink(directory, staged)
        raise
