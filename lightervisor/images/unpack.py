"""Looking into the files of an image, and unpacking them into the tree {metadata.yaml, templates/, rootfs/}."""

import stat
from pathlib import Path

from lightervisor.errors import Invalid
from lightervisor.images import metadata
from lightervisor.images.formats.format import format_of
from lightervisor.images.meter import Meter
from lightervisor.model.image import ImageMetadata

_KINDS = {"rootfs": stat.S_ISDIR, "metadata.yaml": stat.S_ISREG, "templates": stat.S_ISDIR}


def inspect(meta: Path, rootfs: Path | None) -> ImageMetadata:
    """The checked metadata of an image. Raises Invalid when a file is damaged or is no image."""
    size = meta.stat().st_size
    found = metadata.parse(format_of(meta).inspect(meta, Meter(size), metadata=True))
    if rootfs is not None:
        format_of(rootfs).inspect(rootfs, Meter(rootfs.stat().st_size), metadata=False)
    return found


def unpack(meta: Path, rootfs: Path | None, target: Path, meter: Meter) -> None:
    """Fill an empty directory with the image. Raises Invalid or HostError; the caller removes what is there then."""
    format_of(meta).unpack(meta, target, meter)
    if rootfs is not None:
        if "rootfs" in {entry.name for entry in target.iterdir()}:
            raise Invalid("image", cause="both of its files have a rootfs")
        root = target / "rootfs"
        root.mkdir(mode=0o755)
        format_of(rootfs).unpack(rootfs, root, meter)
    check_tree(target)


def check_tree(target: Path) -> None:
    """Raise Invalid unless an unpacked image is what it must be: real directories and a plain, sound metadata.yaml."""
    for name, is_right in _KINDS.items():
        try:
            mode = (target / name).lstat().st_mode
        except FileNotFoundError:
            if name == "templates":
                continue
            raise Invalid("image", cause=f"it has no {name}") from None
        if not is_right(mode):
            kind = "plain file" if name == "metadata.yaml" else "directory"
            raise Invalid("image", cause=f"its {name} is not a {kind}")
    file = target / "metadata.yaml"
    if file.lstat().st_size > metadata.LARGEST:
        raise Invalid("image metadata", cause=f"metadata.yaml is larger than {metadata.LARGEST} bytes")
    metadata.parse(file.read_bytes())
