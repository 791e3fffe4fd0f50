"""`lxc image export`: an image as the file, or the two files, that it came as."""

from __future__ import annotations

from pathlib import Path

from lightervisor.cli import answers, image_lookup, progress, transfer
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_multipart
from lightervisor.client.light import url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.image_lookup import Found
    from lightervisor.cli.image_server import ImageServer
    from lightervisor.cli.session import Session
    from lightervisor.client.light_http import Response
    from lightervisor.client.simplestreams import Image

_ARCHIVES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tar.lzma", ".tar.lz4"),
    *(".squashfs", ".sqfs"),
)


def export(session: Session, arguments: list[str], flags: Flags) -> None:
    """Write an image's file or files to a directory or under a name."""
    target = _target(arguments[1] if len(arguments) > 1 else ".")
    remote, name = session.parse(arguments[0])
    if session.config.remote(remote).get("protocol") == image_lookup.STREAMS:
        server = image_lookup.image_server(session, remote)
        image = server.find(name or "default", kind="virtual-machine" if flags.on("vm") else "")
        _save_downloads(session, server, image, target)
    else:
        _save_export(session, image_lookup.stored(session, arguments[0], vm=flags.on("vm")), target)
    session.say("Image exported successfully!")


def _save_export(session: Session, found: Found, target: Path) -> None:
    """Save what an LXD server exports."""
    path = url("images", str(found.image["fingerprint"]), "export")
    response = answers.check(found.server.request("GET", path))
    line = progress.Line("Exporting the image", is_shown=session.shows_progress())
    try:
        meter = transfer.Meter(line, int(response.headers.get("content-length") or found.image.get("size", 0)))
        _save_all(response, target, meter)
    except BaseException:
        found.server.close()  # what of the answer was not read would be taken for the next one
        raise
    finally:
        line.done()


def _save_downloads(session: Session, server: ImageServer, image: Image, target: Path) -> None:
    """Save the files of an image server's image, each once its hash is right."""
    line = progress.Line("Exporting the image", is_shown=session.shows_progress())
    try:
        meter = transfer.Meter(line, int(image["size"]))
        for index, (name, blocks) in enumerate(server.download(image)):
            is_split = len(image["files"]) > 1
            path = split_path(target, name, is_root=index > 0) if is_split else unified_path(target, name)
            transfer.save(meter.blocks(blocks), path)
    finally:
        line.done()
        server.web.close()


def _target(text: str) -> Path:
    target = Path(text)
    if text.endswith("/") and not target.is_dir():
        raise CommandError(f"open {text}: no such directory")
    return target


def _save_all(response: Response, target: Path, meter: transfer.Meter) -> None:
    boundary = light_multipart.boundary_of(response.headers.get("content-type", ""))
    blocks = meter.blocks(response.blocks())
    if not boundary:
        name = light_multipart.filename_of(response.headers.get("content-disposition", ""))
        transfer.save(blocks, unified_path(target, name))
        return
    count = 0
    for headers, content in light_multipart.FormReader(blocks, boundary).parts():
        name = light_multipart.filename_of(headers.get("content-disposition", ""))
        transfer.save(content, split_path(target, name, is_root=count > 0))
        count += 1
    if count != 2:
        raise CommandError(f"The server sent an image of {count} parts instead of 2")


def unified_path(target: Path, name: str) -> Path:
    """Where the one file goes that the server calls `name`.

    LXD appends the file's extension to a name that is given; one that is an archive's already is taken as it is, so
    that what is exported as `x.tar.gz` can be imported as `x.tar.gz`.
    """
    if target.is_dir():
        return target / (name or "image")
    if target.name.lower().endswith(_ARCHIVES):
        return target
    extension = name[name.rindex(".tar") :] if ".tar" in name else Path(name).suffix
    return target.with_name(target.name + extension)


def split_path(target: Path, name: str, *, is_root: bool) -> Path:
    """Where a part of a split image goes: NAME is the metadata, NAME.root the root file system."""
    if target.is_dir():
        return target / (name or ("image.root" if is_root else "image"))
    return target.with_name(f"{target.name}.root") if is_root else target
