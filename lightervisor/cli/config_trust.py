"""`lxc config trust`: the clients that a server trusts, and the tokens that make more of them."""

from __future__ import annotations

import sys
from pathlib import Path

from lightervisor.cli import certificates, configured, formats, units
from lightervisor.cli.configured import Kind
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_HINT = """\
### This is a YAML representation of the certificate.
### Any line starting with a '# will be ignored.
###
### Note that the fingerprint is shown but cannot be changed
"""
_FIELDS = ("name", "type", "restricted", "projects", "certificate")
KIND = Kind("certificates", "certificate", _FIELDS, _HINT)
_TYPES = ("client", "metrics")
_HEADER = ("TYPE", "NAME", "COMMON NAME", "FINGERPRINT", "ISSUE DATE", "EXPIRY DATE")


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Trust the client of a certificate file (`-` is standard input), or issue a token for one."""
    kind = flags.text("type") or "client"
    if kind not in _TYPES:
        raise CommandError(f'Unknown certificate type "{kind}"')
    server, file = _place(session, arguments)
    if kind == "metrics" and not server.has("metrics"):
        raise CommandError("The server doesn't implement metrics")
    named = [name for name in flags.text("projects").split(",") if name]
    body = {"type": kind, "name": flags.text("name"), "restricted": flags.on("restricted"), "projects": named}
    if file:
        text, name = _read(file)
        body |= {"certificate": certificates.base64_of(text), "name": body["name"] or name}
        server.post(url("certificates"), body)
        return
    body |= {"token": True, "name": body["name"] or session.ask("Please provide client name: ")}
    answer = server.post(url("certificates"), body)
    if not session.is_quiet:
        print(f"Client {body['name']} certificate add token:")
    print(_token(as_map(answer.get("metadata"))))


def _place(session: Session, arguments: list[str]) -> tuple[Server, str]:
    """The server and the file: `[remote:] [file]`, also `r1 file` as LXD's first guides have it."""
    first = arguments[0] if arguments else ""
    if len(arguments) > 1:
        name = first.removesuffix(":") or session.config.default_remote
        if name not in session.config.remotes:
            raise CommandError(f'The remote "{name}" doesn\'t exist', "lxc remote list")
        return session.server(name), arguments[1]
    remote, colon, file = first.partition(":")
    if colon and remote in session.config.remotes:
        return session.server(remote), file
    return session.server(), first


def _read(file: str) -> tuple[str, str]:
    """A certificate's text and the name it gets."""
    if file == "-":
        return sys.stdin.read(), "stdin"
    try:
        return Path(file).read_text(), Path(file).name
    except OSError as error:
        raise CommandError(f"open {file}: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandError("Invalid certificate file") from error


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the clients that a server trusts."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    found: list[dict[str, Any]] = as_list(server.get(url("certificates", recursion=1)))
    rows: list[list[str]] = []
    for one in found:
        facts = certificates.facts(str(one["certificate"]))
        dates = [units.moment(facts.starts_at), units.moment(facts.ends_at)]
        rows.append([one["type"], one["name"], facts.common_name, one["fingerprint"][:12], *dates])
    session.write(formats.render(form, _HEADER, formats.sort_rows(rows), found))


def list_tokens(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the tokens that are out."""
    form = flags.text("format")
    formats.check(form)
    server, _ = session.resolve(arguments[0] if arguments else "")
    rows = [[_name(one), _token(one), _expiry(one)] for one in _tokens(server)]
    raw = [dict(zip(("ClientName", "Token", "ExpiresAt"), row, strict=True)) for row in rows]
    if form == "yaml":
        raw = [{name.lower(): value for name, value in one.items()} for one in raw]
    session.write(formats.render(form, ("NAME", "TOKEN", "EXPIRES AT"), formats.sort_rows(rows), raw))


def revoke_token(session: Session, arguments: list[str], flags: Flags) -> None:
    """Take a token back, by the name of the client it is for."""
    _ = flags
    server, name = session.resolve("".join(arguments) if len(arguments) > 1 else arguments[0])
    for one in _tokens(server):
        if _name(one) == name:
            server.delete(url("operations", str(one["id"])))
            session.say(f"Certificate add token for {name} deleted")
            return
    raise CommandError(f"No certificate add token for member {name} on remote: {server.name}")


def show(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print a client's entry as YAML."""
    _ = flags
    server, fingerprint = _named(session, arguments[0])
    session.write(formats.yaml(server.get(url("certificates", fingerprint))))


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a client's entry as YAML."""
    _ = flags
    configured.edit(session, KIND, arguments[0])


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Trust a client no longer."""
    _ = flags
    server, fingerprint = _named(session, arguments[0])
    server.delete(url("certificates", fingerprint))


def _named(session: Session, raw: str) -> tuple[Server, str]:
    """The server and the fingerprint that `remote:fingerprint` means."""
    server, fingerprint = session.resolve(raw)
    if not fingerprint:
        raise CommandError("Missing certificate fingerprint")
    return server, fingerprint


def _tokens(server: Server) -> list[dict[str, Any]]:
    """The operations that are tokens for clients, oldest first."""
    by_status: dict[str, Any] = as_map(server.get(url("operations", recursion=1)))
    running: list[dict[str, Any]] = as_list(by_status.get("running"))
    return [one for one in running if one["class"] == "token" and "request" in as_map(one.get("metadata"))]


def _name(operation: dict[str, Any]) -> str:
    return str(as_map(as_map(operation["metadata"])["request"]).get("name") or "")


def _expiry(operation: dict[str, Any]) -> str:
    return units.time(str(as_map(operation["metadata"]).get("expiresAt") or ""))


def _token(operation: dict[str, Any]) -> str:
    """The text that the client is given: all it needs to find this server, to know it and to be let in."""
    import base64
    import json

    metadata: dict[str, Any] = as_map(operation["metadata"])
    content = {
        "client_name": _name(operation),
        "fingerprint": metadata["fingerprint"],
        "addresses": metadata["addresses"],
        "secret": metadata["secret"],
        "expires_at": metadata.get("expiresAt") or "0001-01-01T00:00:00Z",
    }
    return base64.b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()
