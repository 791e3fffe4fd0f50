"""`lxc image copy`: from one server to another, or what can be built on a server into its store."""

from __future__ import annotations

from lightervisor.cli import answers, image_lookup, progress, transfer
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_json, light_multipart
from lightervisor.client.light import quote, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.image_lookup import Found
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_MODES = ("pull", "push", "relay")


def copy(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy an image, with the aliases asked for."""
    source_remote, name = session.parse(arguments[0])
    target_remote, rest = session.parse(arguments[1])
    if rest:
        raise CommandError("Can't provide a name for the target image", "name it with --alias")
    if flags.text("mode") not in _MODES:
        raise CommandError(f'Invalid mode "{flags.text("mode")}"', "one of pull, push or relay")
    if source_remote == target_remote and not flags.text("target-project"):
        raise CommandError("The source and target servers must be different")
    server, _ = image_lookup.server_of(session, f"{target_remote}:")
    server = server.scoped_to(project=flags.text("target-project"))
    protocol = session.config.remote(source_remote).get("protocol") or "lxd"
    names = flags.many("alias")
    found = None  # the list of a simplestreams server is read by the target itself
    if protocol == image_lookup.BUILD:
        found = image_lookup.Found(server, image_lookup.product(server, name))
    elif protocol == "lxd":
        found = image_lookup.stored(session, arguments[0], vm=flags.on("vm"))
    if found is not None and flags.on("copy-aliases"):
        names += image_lookup.aliases(found.image)
    if found is not None and protocol == "lxd" and _is_relayed(session, source_remote, flags):
        fingerprint = relay(session, found, server, is_public=flags.on("public"))
    else:
        source = _pulled(session, source_remote, name, found, is_kept_new=flags.on("auto-update"))
        request = {"public": flags.on("public"), "auto_update": flags.on("auto-update"), "source": source}
        operation = session.run(server, server.post(url("images"), request), "Copying the image")
        fingerprint = str(as_map(operation.get("metadata"))["fingerprint"])
    for alias in dict.fromkeys(names):
        image_lookup.name(server, alias, fingerprint)
    session.say("Image copied successfully!")


def _is_relayed(session: Session, remote: str, flags: Flags) -> bool:
    """Whether the image goes through this client: asked for, or the source has no address the target could use."""
    is_on_network = str(session.config.remote(remote).get("addr", "")).startswith("https:")
    if flags.text("mode") == "push":
        raise CommandError("Pushing an image to another server isn't offered yet", "use --mode relay")
    if flags.text("mode") == "relay" or (not is_on_network and not flags.given("mode")):
        if flags.on("auto-update"):
            raise CommandError("An image that is relayed can't be kept up to date", "use --mode pull")
        return True
    if not is_on_network:
        raise CommandError("The source server isn't listening on the network", "use --mode relay")
    return False


def _pulled(session: Session, remote: str, name: str, found: Found | None, *, is_kept_new: bool) -> dict[str, Any]:
    """What tells the target where to get the image itself."""
    settings = session.config.remote(remote)
    protocol = str(settings.get("protocol") or "lxd")
    source = {"type": "image", "mode": "pull", "server": str(settings["addr"]), "protocol": protocol}
    if found is None or protocol == image_lookup.BUILD:
        return {**source, "alias": name or "default"}
    fingerprint = str(found.image["fingerprint"])
    source["certificate"] = str(as_map(found.server.info().get("environment")).get("certificate", ""))
    if is_kept_new:
        if not found.image.get("public") or fingerprint.startswith(name):
            raise CommandError("--auto-update needs an alias of a public image")
        return {**source, "alias": name}
    source["fingerprint"] = fingerprint
    if not found.image.get("public"):
        made = found.server.post(url("images", fingerprint, "secret"), {})
        source["secret"] = str(made["metadata"]["metadata"]["secret"])
    return source


def relay(session: Session, found: Found, target: Server, *, is_public: bool) -> str:
    """Send what one server exports to another as it comes, unless the other has it; the fingerprint."""
    image = found.image
    if target.exists(url("images", str(image["fingerprint"]))):
        return str(image["fingerprint"])
    properties = as_map(image.get("properties"))
    response = answers.check(found.server.request("GET", url("images", str(image["fingerprint"]), "export")))
    kind = response.headers.get("content-type", "")
    headers = {
        "Content-Type": kind if light_multipart.boundary_of(kind) else "application/octet-stream",
        "X-LXD-fingerprint": str(image["fingerprint"]),
        "X-LXD-filename": str(image.get("filename", "")),
        "X-LXD-properties": "&".join(f"{quote(key)}={quote(value)}" for key, value in properties.items()),
        **({"X-LXD-public": "true"} if is_public else {}),
    }
    line = progress.Line("Copying the image", is_shown=session.shows_progress())
    meter = transfer.Meter(line, int(response.headers.get("content-length") or image.get("size", 0)))
    try:
        body = _Stream(meter.blocks(response.blocks()))
        envelope = light_json.loads(answers.content(target.request("POST", url("images"), headers, body)))
    finally:
        line.done()
        found.server.close()  # what of its answer was not read would be taken for the next one
    operation = session.run(target, envelope, "Copying the image")
    return str(as_map(operation.get("metadata"))["fingerprint"])


class _Stream:
    """Blocks that arrive, to be read from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def read(self, size: int, /) -> bytes:
        """The next block, whatever its size; nothing at the end."""
        _ = size
        return next((block for block in self._blocks if block), b"")
