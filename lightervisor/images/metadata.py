"""metadata.yaml of an image: read with limits, checked by LXD's rules. Source: LXD, image format."""

from collections.abc import Iterable
from typing import cast

import msgspec
import yaml

from lightervisor.errors import Invalid
from lightervisor.model.image import ImageMetadata

LARGEST = 1 << 20


def _refuse_aliases(text: bytes) -> None:
    """A YAML bomb needs aliases; an image does not."""
    events = cast("Iterable[object]", yaml.parse(text, Loader=yaml.CSafeLoader))  # pyright: ignore[reportUnknownMemberType]
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise Invalid("image metadata", cause="metadata.yaml uses YAML aliases")


def parse(text: bytes) -> ImageMetadata:
    """The checked contents. Raises Invalid for bad YAML, wrong types and a missing mandatory field."""
    if len(text) > LARGEST:
        raise Invalid("image metadata", cause=f"metadata.yaml is larger than {LARGEST} bytes")
    try:
        _refuse_aliases(text)
        document: object = yaml.load(text, Loader=yaml.CSafeLoader)
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
