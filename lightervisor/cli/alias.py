"""`lxc alias`: the user's own commands, kept in the client's configuration."""

from __future__ import annotations

from lightervisor.cli import aliases, formats
from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session


def listing(session: Session, arguments: list[str], flags: Flags) -> None:
    """List the aliases of the configuration."""
    own = session.config.aliases
    rows = formats.sort_rows([[name, target] for name, target in own.items()])
    session.write(formats.render(flags.text("format"), ("ALIAS", "TARGET"), rows, dict(sorted(own.items()))))


def add(session: Session, arguments: list[str], flags: Flags) -> None:
    """Add an alias."""
    name, target = arguments
    if name in session.config.aliases:
        raise CommandError(f"Alias {name} already exists")
    _warn_if_hidden(session, name)
    session.config.aliases[name] = target
    session.config.save()


def remove(session: Session, arguments: list[str], flags: Flags) -> None:
    """Remove an alias."""
    _check(session, arguments[0])
    del session.config.aliases[arguments[0]]
    session.config.save()


def rename(session: Session, arguments: list[str], flags: Flags) -> None:
    """Give an alias another name."""
    name, new = arguments
    _check(session, name)
    if new in session.config.aliases:
        raise CommandError(f"Alias {new} already exists")
    _warn_if_hidden(session, new)
    session.config.aliases[new] = session.config.aliases.pop(name)
    session.config.save()


def _check(session: Session, name: str) -> None:
    if name not in session.config.aliases:
        raise CommandError(f"Alias {name} doesn't exist")


def _warn_if_hidden(session: Session, name: str) -> None:
    """LXD takes such an alias and never uses it; so it is taken, but not in silence."""
    if aliases.is_command(name.split()):
        session.warn(f"Warning: {name} is a command already, the alias is not used")
