"""`lxc remote`: the list of servers, kept in the client's config.yml."""

from __future__ import annotations

from pathlib import Path

from lightervisor.cli import formats, remote_address
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.config import Config
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_HEADER = ("NAME", "URL", "PROTOCOL", "AUTH TYPE", "PUBLIC", "STATIC", "GLOBAL")


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the remotes."""
    _ = arguments
    form, config = flags.text("format"), session.config
    formats.check(form)
    rows = formats.sort_rows([_row(config, name) for name in config.remotes])
    session.write(formats.render(form, _HEADER, rows, _raw(config, is_json=form == "json")))


def _row(config: Config, name: str) -> list[str]:
    remote = config.remotes[name]
    facts = (bool(remote.get("public")), config.is_static(name), config.is_global(name))
    return [
        f"{name} (current)" if name == config.default_remote else name,
        str(remote.get("addr", "")),
        str(remote.get("protocol") or "lxd"),
        authentication(remote),
        *("YES" if fact else "NO" for fact in facts),
    ]


def authentication(remote: dict[str, Any]) -> str:
    """How a server knows us: by our access to its socket, by our certificate, or not at all."""
    if str(remote.get("addr")).startswith("unix:"):
        return "file access"
    if remote.get("protocol", "lxd") != "lxd":
        return "none"
    return str(remote.get("auth_type") or "tls")


def _raw(config: Config, *, is_json: bool) -> dict[str, Any]:
    """The remotes as LXD prints them: in JSON with the names of its source code."""
    remotes = dict(sorted(config.remotes.items()))
    if not is_json:
        return remotes
    return {
        name: {
            "Addr": remote.get("addr", ""),
            "AuthType": remote.get("auth_type", ""),
            "Domain": remote.get("domain", ""),
            "Project": remote.get("project", ""),
            "Protocol": remote.get("protocol", ""),
            "Public": bool(remote.get("public")),
            "Global": config.is_global(name),
            "Static": config.is_static(name),
        }
        for name, remote in remotes.items()
    }


def get_default(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the name of the default remote."""
    _ = arguments, flags
    print(session.config.default_remote)


def switch(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make a remote the default one."""
    _ = flags
    config, name = session.config, _known(session, arguments[0])
    config.stored_default = name
    config.save()
    overruling = session.environ.get("LXD_REMOTE", "")
    if overruling not in ("", name):
        session.warn(f"LXD_REMOTE is set: as long as it is, {overruling} stays the default")


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Forget a remote and the certificate that was accepted for it."""
    _ = flags
    config, name = session.config, changeable(session, arguments[0])
    if name in (config.default_remote, config.stored_default):
        raise CommandError("Can't remove the default remote")
    if config.is_global(name):
        raise CommandError(f"Remote {name} is global and cannot be removed")
    del config.own_remotes[name]
    config.save()
    certificate(config, name).unlink(missing_ok=True)
    memory(config, name).unlink(missing_ok=True)


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Rename a remote."""
    _ = flags
    config, name, new = session.config, changeable(session, arguments[0]), arguments[1]
    check_new(session, new, f"Remote {new} already exists")
    if config.is_global(name):
        raise CommandError(f"Remote {name} is global and cannot be renamed")
    for place in (certificate, memory):
        if place(config, name).exists():
            place(config, name).rename(place(config, new))
    config.own_remotes[new] = config.own_remotes.pop(name)
    if config.stored_default == name:
        config.stored_default = new
    config.save()


def set_url(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change where a remote is; a system-wide one becomes the user's own."""
    _ = flags
    config, name = session.config, changeable(session, arguments[0])
    settings = config.remotes[name]
    is_server = settings.get("protocol", "lxd") == "lxd"
    address = remote_address.server(arguments[1]) if is_server else remote_address.image_server(arguments[1])
    config.own_remotes[name] = {**settings, "addr": address}
    config.save()


def _known(session: Session, name: str) -> str:
    if name not in session.config.remotes:
        raise CommandError(f"Remote {name} doesn't exist")
    return name


def changeable(session: Session, name: str) -> str:
    """The name of a remote that is there and not static. Raises CommandError."""
    if session.config.is_static(_known(session, name)):
        raise CommandError(f"Remote {name} is static and cannot be modified")
    return name


def check_new(session: Session, name: str, taken: str) -> None:
    """Refuse what cannot name a new remote; `taken` is said when another has the name. Raises CommandError."""
    if ":" in name:
        raise CommandError("Remote names may not contain colons")
    if not name or "/" in name or name.startswith("."):
        raise CommandError(f"Invalid remote name {name!r}", "it becomes a file's name: no slash, no leading dot")
    if name in session.config.remotes:
        raise CommandError(taken)


def certificate(config: Config, name: str) -> Path:
    """Where the certificate is kept that was accepted for a remote."""
    return Path(config.path("servercerts", f"{name}.crt"))


def memory(config: Config, name: str) -> Path:
    """Where what an image server listed is kept."""
    return Path(config.path("cache", f"{name}.simplestreams"))
