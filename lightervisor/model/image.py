"""Wire structs of image. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from lightervisor.model.times import ZERO_TIME


class ImagePut(Struct, frozen=True, kw_only=True):
    """LXD's ImagePut."""

    auto_update: bool = False
    properties: dict[str, str] = {}
    public: bool = False
    expires_at: datetime = ZERO_TIME
    profiles: list[str] | None = None


class ImageSource(Struct, frozen=True, kw_only=True):
    """LXD's ImageSource."""

    alias: str = ""
    certificate: str = ""
    protocol: str = ""
    server: str = ""
    image_type: str = ""


class ImagesPostSource(ImageSource, frozen=True, kw_only=True):
    """LXD's ImagesPostSource."""

    mode: str = ""
    type: str = ""
    url: str = ""
    name: str = ""
    fingerprint: str = ""
    secret: str = ""
    project: str = ""


class ImageAlias(Struct, frozen=True, kw_only=True):
    """LXD's ImageAlias."""

    name: str = ""
    description: str = ""


class ImagesPost(ImagePut, frozen=True, kw_only=True):
    """LXD's ImagesPost."""

    filename: str = ""
    source: ImagesPostSource | None = None
    compression_algorithm: str = ""
    aliases: list[ImageAlias] = []


class Image(ImagePut, frozen=True, kw_only=True):
    """LXD's Image."""

    aliases: list[ImageAlias] = []
    architecture: str = ""
    cached: bool = False
    filename: str = ""
    fingerprint: str = ""
    size: int = 0
    update_source: ImageSource | UnsetType = UNSET
    type: str = ""
    created_at: datetime = ZERO_TIME
    last_used_at: datetime = ZERO_TIME
    uploaded_at: datetime = ZERO_TIME


class ImageExportPost(Struct, frozen=True, kw_only=True):
    """LXD's ImageExportPost."""

    target: str = ""
    secret: str = ""
    certificate: str = ""
    aliases: list[ImageAlias] | None = None
    project: str = ""
    profiles: list[str] | None = None


class ImageAliasesEntryPut(Struct, frozen=True, kw_only=True):
    """LXD's ImageAliasesEntryPut."""

    description: str = ""
    target: str = ""


class ImageAliasesEntry(ImageAliasesEntryPut, frozen=True, kw_only=True):
    """LXD's ImageAliasesEntry."""

    name: str = ""
    type: str = ""


class ImageAliasesPost(ImageAliasesEntry, frozen=True, kw_only=True):
    """LXD's ImageAliasesPost."""


class ImageAliasesEntryPost(Struct, frozen=True, kw_only=True):
    """LXD's ImageAliasesEntryPost."""

    name: str = ""


class ImageMetadataTemplate(Struct, frozen=True, kw_only=True):
    """LXD's ImageMetadataTemplate."""

    when: list[str] = []
    create_only: bool = False
    template: str = ""
    properties: dict[str, str] = {}


class ImageMetadata(Struct, frozen=True, kw_only=True):
    """LXD's ImageMetadata."""

    architecture: str = ""
    creation_date: int = 0
    expiry_date: int = 0
    properties: dict[str, str] = {}
    templates: dict[str, ImageMetadataTemplate | None] = {}
