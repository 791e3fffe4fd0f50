"""metadata.yaml of an image: read with limits, checked by LXD's rules. Source: LXD, image format."""

from typing import Any

import msgspec
import yaml

from lightervisor.errors import Invalid
from lightervisor.model.image import ImageMetadata

LARGEST = 1 << 20


class _Loader(yaml.CSafeLoader):
    """YAML without aliases: a bomb needs them, an image does not."""

    def compose_node(self, parent: Any, index: int) -> Any:
        """Refuse an alias."""
        if self.check_event(yaml.events.AliasEvent):
            raise Invalid("image metadata", cause="metadata.yaml uses YAML aliases")
        return super().compose_node(parent, index)


def parse(text: bytes) -> ImageMetadata:
    """The checked contents. Raises Invalid for bad YAML, wrong types and a missing mandatory field."""
    if len(text) > LARGEST:
        raise Invalid("image metadata", cause=f"metadata.yaml is larger than {LARGEST} bytes")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader's subclass
        if not isinstance(document, dict):
            raise Invalid("image metadata", cause="metadata.yaml is not a mapping")
        metadata = msgspec.convert(document, ImageMetadata, strict=False)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError, ValueError) as error:
        raise Invalid("image metadata", cause=f"metadata.yaml cannot be read: {error}") from error
    if not metadata.architecture:
        raise Invalid("image metadata", text="Missing architecture in image metadata")
    if metadata.creation_date <= 0:
        raise Invalid("image metadata", text="Missing creation date in image metadata")
    return metadata
