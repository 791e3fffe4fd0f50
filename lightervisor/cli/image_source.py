"""Where a new instance's image comes from: `[remote:]image` as the `source` of a request."""

from __future__ import annotations

from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


_WHERE = "lxc image list shows what is there; one of an image server is named with it: ubuntu:24.04, build:busybox"


def resolve(session: Session, target_remote: str, raw: str) -> tuple[dict[str, Any], str]:
    """The source and, where it is known, the image's type."""
    remote, image = session.parse(raw)
    settings = session.config.remote(remote)
    if settings.get("protocol", "lxd") != "lxd":
        return _foreign(session, remote, image), ""
    server = session.server(remote, for_images=True)
    try:
        fingerprint, kind = find(server, image or "default")
    except ApiError as error:
        other = _as_remote(session, raw) if error.code == 404 else ""
        if not other:
            raise
        session.warn(f"The local image '{raw}' couldn't be found, trying '{other}' instead.")
        return resolve(session, target_remote, other)
    source: dict[str, Any] = {"type": "image", "fingerprint": fingerprint}
    if remote != target_remote:
        source = {"type": "image", **_pulled(session, remote, server, fingerprint, image or "default")}
        source["protocol"] = protocol_for(session.server(target_remote))
    return source, kind


def find(server: Server, image: str) -> tuple[str, str]:
    """Fingerprint and type of an alias or a fingerprint's beginning. Raises ApiError (404) for what is neither."""
    try:
        alias = server.get(url("images", "aliases", image))
    except ApiError as error:
        if error.code != 404:
            raise
        found = _by_fingerprint(server, image)
        return str(found["fingerprint"]), str(found.get("type") or "")
    return str(alias["target"]), str(alias.get("type") or "")


def _by_fingerprint(server: Server, image: str) -> dict[str, Any]:
    try:
        return server.get(url("images", image))
    except ApiError as error:
        if error.code != 404:
            raise
        raise ApiError(error.text, 404, _WHERE) from error


def certificate_of(session: Session, remote: str) -> str:
    """The certificate that was accepted for a remote, as PEM; empty when authorities that all trust vouch for it."""
    from lightervisor.cli import remote as remotes  # most images are on the server itself

    path = remotes.certificate(session.config, remote)
    return path.read_text() if path.exists() else ""


def _foreign(session: Session, remote: str, image: str) -> dict[str, Any]:
    """An image that the server itself fetches (or builds) elsewhere."""
    settings, certificate = session.config.remote(remote), certificate_of(session, remote)
    return {
        **({"certificate": certificate} if certificate else {}),
        "type": "image",
        "mode": "pull",
        "server": settings["addr"],
        "protocol": settings["protocol"],
        "alias": image or "default",
    }


def _pulled(session: Session, remote: str, server: Server, fingerprint: str, name: str) -> dict[str, Any]:
    address = str(session.config.remote(remote).get("addr"))
    if not address.startswith("https:"):
        raise CommandError("The source server doesn't listen on the network", "set its core.https_address")
    source: dict[str, Any] = {"mode": "pull", "server": address}
    source["certificate"] = session.certificate_of(server)
    image = server.get(url("images", fingerprint))
    if image.get("public") and not fingerprint.startswith(name):
        return {**source, "alias": name}  # what it stands for then is what the other server gets, and keeps up to date
    source["fingerprint"] = fingerprint
    if not image.get("public"):
        source["secret"] = server.post(url("images", fingerprint, "secret"), {})["metadata"]["metadata"]["secret"]
    return source


def protocol_for(target: Server) -> str:
    """What the server that fetches an image calls the protocol that both of them speak."""
    return "incus" if target.info()["environment"].get("server") == "incus" else "lxd"


def _as_remote(session: Session, raw: str) -> str:
    """`ubuntu` and `ubuntu/22.04` typed without the colon of a remote that has this name."""
    name, slash, rest = raw.partition("/")
    if ":" in raw or name not in session.config.remotes or name == session.config.default_remote:
        return ""
    return f"{name}:{rest}" if slash else f"{name}:"
