"""metadata.yaml of an instance and its templates. Source: LXD, /1.0/instances/<name>/metadata."""

from collections.abc import Mapping

from lightervisor.events.stream import Events
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.image import ImageMetadata


class Metadata:
    """Metadata and templates of all instances; every function raises NotFound for an unknown instance."""

    def __init__(self, catalog: Catalog, volumes: InstanceVolumes, events: Events) -> None:
        self._catalog, self._volumes, self._events = catalog, volumes, events

    async def get(self, project: str, name: str, requestor: EventLifecycleRequestor | None = None) -> ImageMetadata:
        """The metadata; an instance without any has an empty one. Its ETag is over the whole struct."""
        raise NotImplementedError

    async def replace(
        self, project: str, name: str, metadata: ImageMetadata, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Write other metadata."""
        raise NotImplementedError

    async def merge(
        self, project: str, name: str, fields: Mapping[str, object], requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """PATCH: replace those fields of the metadata that are given. Raises Invalid for wrong types."""
        raise NotImplementedError

    async def templates(self, project: str, name: str) -> list[str]:
        """The names of the templates."""
        raise NotImplementedError

    async def template(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> bytes:
        """The text of a template. Raises NotFound with LXD's text, Invalid for a path that is no name."""
        raise NotImplementedError

    async def write_template(
        self, project: str, name: str, path: str, content: bytes, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Make or replace a template. Raises Invalid for a path that is no name."""
        raise NotImplementedError

    async def delete_template(
        self, project: str, name: str, path: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Remove a template. Raises NotFound, Invalid."""
        raise NotImplementedError
