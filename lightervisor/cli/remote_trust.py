"""Trust between a client and an https server: we pin its certificate, it takes ours for a password or a token."""

from __future__ import annotations

import getpass
import os
import ssl
from contextlib import contextmanager
from pathlib import Path

from lightervisor.cli import remote
from lightervisor.cli.errors import CommandError
from lightervisor.client import light_tls
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


@contextmanager
def accepted(session: Session, name: str, address: str, *, is_accepted: bool) -> Generator[None, None, None]:
    """Pin the server's certificate once the user accepts it; taken back when the block fails.

    A certificate that the system's authorities or the user's own (client.ca) vouch for needs no pin.
    Raises CommandError, Unavailable.
    """
    if light_tls.is_trusted_by_authorities(address, Path(session.config.path("client.ca"))):
        yield
        return
    text = light_tls.server_certificate(address)
    if not is_accepted:
        _ask(session, light_tls.fingerprint(ssl.PEM_cert_to_DER_cert(text)))
    with _pinned(session, name, text):
        yield


@contextmanager
def issued(session: Session, name: str, address: str, fingerprint: str) -> Generator[None, None, None]:
    """Pin the certificate that a token tells the fingerprint of; else as `accepted`."""
    text = light_tls.server_certificate(address)
    if light_tls.fingerprint(ssl.PEM_cert_to_DER_cert(text)) != fingerprint:
        raise CommandError(f'Certificate fingerprint mismatch between certificate token and server "{address}"')
    with _pinned(session, name, text):
        yield


def _ask(session: Session, fingerprint: str) -> None:
    print(f"Certificate fingerprint: {fingerprint}")
    answer = session.ask("ok (y/n/[fingerprint])? ").strip().lower()
    if answer not in ("y", "yes", fingerprint):
        raise CommandError("Server certificate NACKed by user")


@contextmanager
def _pinned(session: Session, name: str, text: str) -> Generator[None, None, None]:
    file = remote.certificate(session.config, name)
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    partial = Path(f"{file}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(file)
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def ask_for_trust(session: Session, server: Server, secret: str) -> None:
    """Have our certificate trusted, by the password or token given or asked for; one that is needs neither.

    Raises ApiError when the server refuses, CommandError when it still does not trust us.
    """
    info = server.info()
    if info.get("auth") == "trusted":
        return
    if "tls" not in as_list(info.get("auth_methods")):
        raise CommandError("The server doesn't accept client certificates")
    secret = secret or _password(session, f"Admin password (or token) for {server.name}: ")
    # Incus takes tokens only, by a name of their own; a server that does not trust us hides which of the two it is.
    server.post(url("certificates"), {"type": "client", "password": secret, "trust_token": secret})
    if server.refreshed().get("auth") != "trusted":
        raise CommandError("Server doesn't trust us after authentication")
    session.say(f"Client certificate now trusted by server: {server.name}")


def _password(session: Session, question: str) -> str:
    return getpass.getpass(question) if session.has_terminal() else session.ask(question)
