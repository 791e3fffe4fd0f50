"""Which image `[remote:]image` means: on a server, on an image server, or among what a server can build (`build:`)."""

from __future__ import annotations

from lightervisor.cli import image_source
from lightervisor.cli.errors import CommandError
from lightervisor.cli.session import require
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.image_server import ImageServer
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

    Image = dict[str, Any]

BUILD = "build"
STREAMS = "simplestreams"


class Found:
    """An image: where it is, what the server tells of it, and its ETag for a change that overwrites no other."""

    __slots__ = ("etag", "image", "server")

    def __init__(self, server: Server, image: Image, etag: str = "") -> None:
        self.server, self.image, self.etag = server, image, etag

    @property
    def path(self) -> str:
        """The image's own path in the API."""
        return url("images", str(self.image["fingerprint"]))


def find(session: Session, raw: str, *, vm: bool = False) -> Image:
    """An image to be read: on a server, on an image server, or one that can be built.

    With `vm` an alias must be of a virtual machine. Raises ApiError (404), NotFound and CommandError.
    """
    remote, name = session.parse(raw)
    protocol = session.config.remote(remote).get("protocol")
    if protocol == BUILD:
        return product(builder(session), name)
    if protocol == STREAMS:
        return image_server(session, remote).find(name or "default", kind="virtual-machine" if vm else "")
    return stored(session, raw, vm=vm).image


def stored(session: Session, raw: str, *, vm: bool = False) -> Found:
    """An image that is on a server, to be changed or downloaded; else as `find`."""
    server, name = server_of(session, raw)
    if not name:
        raise CommandError("Image identifier missing")
    fingerprint, kind = image_source.find(server, name)
    if vm and kind != "virtual-machine":
        raise ApiError("Image not found", 404)
    return Found(server, *server.fetch(url("images", fingerprint)))


def server_of(session: Session, raw: str) -> tuple[Server, str]:
    """The server and the rest of `[remote:]rest`. Raises CommandError where the remote is none that keeps images."""
    remote, name = session.parse(raw)
    protocol = str(session.config.remote(remote).get("protocol") or "lxd")
    if protocol == BUILD:
        raise CommandError("What build: offers isn't there yet", f"lxc launch {remote}:<image> builds it")
    if protocol != "lxd":
        raise CommandError("The remote isn't a private LXD server", f"{remote}: only offers images, to copy or launch")
    return session.server(remote, for_images=True), name


def images(session: Session, remote: str) -> list[Image]:
    """Every image of a remote; of `build:` those that can be built."""
    protocol = session.config.remote(remote).get("protocol")
    if protocol == BUILD:
        return catalog(builder(session))
    if protocol == STREAMS:
        listed = image_server(session, remote).images()
        return [{key: value for key, value in image.items() if key != "files"} for image in listed]
    server, _ = server_of(session, f"{remote}:")
    return as_list(server.get(url("images", recursion=1)))


def image_server(session: Session, remote: str) -> ImageServer:
    """The image server behind a simplestreams remote; nothing is asked of it yet."""
    from lightervisor.cli.image_server import ImageServer

    return ImageServer(session, remote)


def builder(session: Session) -> Server:
    """The server that builds what `build:` offers: the default one, or the local one where that is no LXD server."""
    remote = session.config.default_remote
    is_server = session.config.remote(remote).get("protocol", "lxd") == "lxd"
    return session.server(remote if is_server else "local")


def catalog(server: Server) -> list[Image]:
    """What a server can build. Raises CommandError when it can build nothing."""
    require(server, "image_source_build")
    return as_list(server.get("/1.0/images/build"))


def product(server: Server, name: str) -> Image:
    """One of the images that can be built, by an alias or the beginning of its fingerprint."""
    offered = catalog(server)
    for image in offered:
        if name in aliases(image):
            return image
    matching = [image for image in offered if name and str(image["fingerprint"]).startswith(name)]
    if len(matching) != 1:
        raise CommandError("Image not found", "lxc image list build: shows what can be built")
    return matching[0]


def aliases(image: Image) -> list[str]:
    """The names of an image."""
    return [str(alias["name"]) for alias in as_list(image.get("aliases"))]


def name(server: Server, alias: str, fingerprint: str) -> None:
    """Give an image a name; an image that had it before loses it, as LXD does it."""
    try:
        server.post(url("images", "aliases"), {"name": alias, "target": fingerprint})
    except ApiError as error:
        if error.code != 409:
            raise
        server.put(url("images", "aliases", alias), {"target": fingerprint})
