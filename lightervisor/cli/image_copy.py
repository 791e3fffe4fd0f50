"""`lxc image copy`: from one server to another, or what can be built on a server into its store."""

from __future__ import annotations

from lightervisor.cli import image_lookup, image_relay, image_source
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.image_lookup import Found
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_MODES = ("pull", "push", "relay")
_NEEDS_ALIAS = "--auto-update needs an alias of a public image"


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
    if protocol == image_lookup.STREAMS:
        image, fingerprint = _from_image_server(session, source_remote, name, server, flags)
    elif protocol == image_lookup.BUILD:
        image = image_lookup.product(server, name)
        fingerprint = _pull(session, server, {**_place(session, source_remote), "alias": name or "default"}, flags)
    else:
        found = image_lookup.stored(session, arguments[0], vm=flags.on("vm"))
        image = found.image
        if flags.text("mode") == "push":
            fingerprint = _push(session, found, target_remote, server, flags)
        elif _is_relayed(session, source_remote, flags):
            fingerprint = image_relay.from_server(session, found, server, is_public=flags.on("public"))
        else:
            source = {
                **_place(session, source_remote),
                **_access(session, found, name, is_kept_new=flags.on("auto-update")),
                "protocol": image_source.protocol_for(server),
            }
            fingerprint = _pull(session, server, source, flags)
    names = flags.many("alias") + (image_lookup.aliases(image) if flags.on("copy-aliases") else [])
    for alias in dict.fromkeys(names):
        image_lookup.name(server, alias, fingerprint)
    session.say("Image copied successfully!")


def _is_relayed(session: Session, remote: str, flags: Flags) -> bool:
    """Whether the image goes through this client: asked for, or the source has no address the target could use."""
    is_on_network = str(session.config.remote(remote).get("addr", "")).startswith("https:")
    if flags.text("mode") == "relay" or (not is_on_network and not flags.given("mode")):
        _refuse_updates_of_relayed(flags)
        return True
    if not is_on_network:
        raise CommandError("The source server isn't listening on the network", "use --mode relay")
    return False


def _refuse_updates_of_relayed(flags: Flags) -> None:
    if flags.on("auto-update"):
        raise CommandError("An image that is relayed can't be kept up to date", "use --mode pull")


def _from_image_server(
    session: Session, remote: str, name: str, target: Server, flags: Flags
) -> tuple[dict[str, Any], str]:
    """Copy an image of an image server, which the target fetches itself unless it is to be relayed."""
    from lightervisor.cli.image_server import ImageServer

    server = ImageServer(session, remote)
    image = server.find(name or "default", kind="virtual-machine" if flags.on("vm") else "")
    if flags.text("mode") == "push":
        raise CommandError("Exporting images is not supported by the simplestreams protocol", "use --mode relay")
    if flags.text("mode") == "relay":
        _refuse_updates_of_relayed(flags)
        return image, image_relay.from_image_server(session, server, image, target, is_public=flags.on("public"))
    source = _place(session, remote)
    # An alias is what the target asks again for updates; LXD keeps it for a copy that is not updated as well.
    if name in image_lookup.aliases(image) or not name:
        source["alias"] = name or "default"
    else:
        source["fingerprint"] = str(image["fingerprint"])
        if flags.on("auto-update"):
            raise CommandError(_NEEDS_ALIAS)
    if flags.on("vm"):
        source["image_type"] = "virtual-machine"
    return image, _pull(session, target, source, flags)


def _pull(session: Session, target: Server, source: dict[str, Any], flags: Flags) -> str:
    """Have the target fetch an image; its fingerprint."""
    request = {"public": flags.on("public"), "auto_update": flags.on("auto-update"), "source": source}
    operation = session.run(target, target.post(url("images"), request), "Copying the image")
    return str(as_map(operation.get("metadata"))["fingerprint"])


def _push(session: Session, found: Found, remote: str, target: Server, flags: Flags) -> str:
    """Have the source send an image to the target, which gives a secret for it; its fingerprint."""
    address = str(session.config.remote(remote).get("addr", ""))
    if not address.startswith("https:"):
        raise CommandError("The target server isn't listening on the network", "use --mode relay")
    _refuse_updates_of_relayed(flags)
    image = found.image
    fingerprint = str(image["fingerprint"])
    promise = {
        "public": flags.on("public"),
        "properties": image.get("properties"),
        "expires_at": image.get("expires_at"),
        "source": {"type": "image", "mode": "push", "fingerprint": fingerprint},
    }
    token = as_map(as_map(target.post(url("images"), promise)["metadata"])["metadata"])
    request = {
        "target": address,
        "certificate": session.certificate_of(target),
        "secret": str(token["secret"]),
        "project": flags.text("target-project"),
    }
    session.run(found.server, found.server.post(url("images", fingerprint, "export"), request), "Copying the image")
    return fingerprint


def _place(session: Session, remote: str) -> dict[str, Any]:
    """What tells the target which server the image is on."""
    settings = session.config.remote(remote)
    protocol = str(settings.get("protocol") or "lxd")
    place = {"type": "image", "mode": "pull", "server": str(settings["addr"]), "protocol": protocol}
    certificate = image_source.certificate_of(session, remote)
    return {**place, **({"certificate": certificate} if certificate else {})}


def _access(session: Session, found: Found, name: str, *, is_kept_new: bool) -> dict[str, Any]:
    """What tells the target which image of an LXD server it is, and gives it the right to have it."""
    fingerprint = str(found.image["fingerprint"])
    access = {"certificate": session.certificate_of(found.server)}
    if is_kept_new:
        if not found.image.get("public") or fingerprint.startswith(name):
            raise CommandError(_NEEDS_ALIAS)
        return {**access, "alias": name}
    access["fingerprint"] = fingerprint
    if not found.image.get("public"):
        made = found.server.post(url("images", fingerprint, "secret"), {})
        access["secret"] = str(made["metadata"]["metadata"]["secret"])
    return access
