"""metadata.yaml of an image: read with limits, checked by LXD's rules. Source: LXD, image format."""

from datetime import date
from typing import Any, cast

import msgspec

from lightervisor.config import architectures
from lightervisor.errors import Invalid
from lightervisor.model import yaml_documents
from lightervisor.model.image import ImageMetadata

LARGEST = 1 << 20
_KIND, _FILE = "image metadata", "metadata.yaml"


def parse(text: bytes) -> ImageMetadata:
    """The checked contents, the architecture by the kernel's name.

    Raises Invalid for bad YAML, wrong types, a missing mandatory field and an unknown architecture.
    """
    metadata = parse_loosely(text)
    if not metadata.architecture:
        raise Invalid("image metadata", text="Missing architecture in image metadata")
    if metadata.creation_date <= 0:
        raise Invalid("image metadata", text="Missing creation date in image metadata")
    return msgspec.structs.replace(metadata, architecture=architectures.name_of(metadata.architecture))


def parse_loosely(text: bytes) -> ImageMetadata:
    """The contents with any field missing, as an instance's own metadata.yaml may be. Raises Invalid."""
    document = yaml_documents.mapping(text, _KIND, _FILE, largest=LARGEST)
    try:
        return msgspec.convert(_worded(document), ImageMetadata, strict=False)
    except (msgspec.ValidationError, RecursionError, ValueError, OverflowError) as error:
        raise yaml_documents.unreadable(_KIND, _FILE, error) from error


def _worded(document: dict[Any, Any]) -> dict[str, Any]:
    """Leave out nulls and names that are no text, as Go's reader does; properties are words whatever was written."""
    known = _named(document)
    if isinstance(known.get("properties"), dict):
        properties = cast("dict[Any, Any]", known["properties"])
        known["properties"] = {str(key): _word(value) for key, value in properties.items() if value is not None}
    if isinstance(known.get("templates"), dict):
        templates = _named(cast("dict[Any, Any]", known["templates"]))
        known["templates"] = {
            path: _named(cast("dict[Any, Any]", one)) if isinstance(one, dict) else one
            for path, one in templates.items()
        }
    return known


def _named(mapping: dict[Any, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if isinstance(key, str) and value is not None}


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | date) else value
