"""`lxc remote add`: a server on a socket, over https with trust on both sides, or one that only offers images."""

from __future__ import annotations

from contextlib import closing

from lightervisor.cli import client_identity, remote, remote_address, remote_trust
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.remote_address import Token
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Add a server, as `[name] address` or `[name] token`."""
    token = remote_address.decode_token(arguments[-1])
    name = arguments[0] if len(arguments) > 1 or token is None else token.host
    present = session.config.remotes.get(name, {})
    remote.check_new(session, name, f"Remote {name} exists as <{present.get('addr')}>")
    if flags.given("domain") or flags.text("auth-type") not in ("", "tls"):
        raise CommandError("Only tls authentication is supported", "leave out --auth-type and --domain")
    protocol = flags.text("protocol") or "lxd"
    if protocol not in ("lxd", "simplestreams"):
        raise CommandError(f"Invalid protocol: {protocol}")
    if token is not None:
        settings = _with_token(session, name, token, flags)
    elif protocol == "simplestreams":
        settings = {"addr": remote_address.image_server(arguments[-1]), "protocol": protocol, "public": True}
    else:
        settings = _server(session, name, remote_address.server(arguments[-1]), flags)
    session.config.own_remotes[name] = settings
    session.config.save()


def _server(session: Session, name: str, address: str, flags: Flags) -> dict[str, Any]:
    if address.startswith("unix:"):
        settings = {"addr": address, "auth_type": "tls", "protocol": "lxd", "public": False}
        with closing(session.connect(name, settings)) as server:
            return {**settings, **_project(server, flags)}
    if flags.on("public"):
        settings = {"addr": address, "public": True}
        accepted = remote_trust.accepted(session, name, address, is_accepted=flags.on("accept-certificate"))
        with accepted, closing(session.connect(name, settings)) as server:
            server.info()
        return settings
    client_identity.ensure(session)
    with remote_trust.accepted(session, name, address, is_accepted=flags.on("accept-certificate")):
        return _trusted(session, name, address, flags.text("password"), flags)


def _with_token(session: Session, name: str, token: Token, flags: Flags) -> dict[str, Any]:
    """Add the server that issued a token, at the first of its addresses where it answers."""
    from lightervisor.errors import Unavailable

    client_identity.ensure(session)
    for place in token.addresses:
        address = remote_address.server(f"https://{place}")
        try:
            with remote_trust.issued(session, name, address, token.fingerprint):
                return _trusted(session, name, address, token.text, flags)
        except Unavailable as failure:
            session.warn(failure.message())
    raise CommandError("All server addresses are unavailable", "lxc remote add <name> <address> --password <token>")


def _trusted(session: Session, name: str, address: str, secret: str, flags: Flags) -> dict[str, Any]:
    settings = {"addr": address, "auth_type": "tls", "protocol": "lxd", "public": False}
    with closing(session.connect(name, settings)) as server:
        remote_trust.ask_for_trust(session, server, secret)
        return {**settings, **_project(server, flags)}


def _project(server: Server, flags: Flags) -> dict[str, str]:
    """The project of a remote: the one asked for, or the default one of a server that has projects."""
    from lightervisor.client.light import url

    wanted = flags.text("project")
    if wanted:
        server.get(url("projects", wanted))
        return {"project": wanted}
    if not server.has("projects"):
        return {}
    names = [str(path).rpartition("/")[2] for path in server.get("/1.0/projects")]
    if "default" in names or len(names) != 1:
        return {"project": "default"}
    return {"project": names[0]}
