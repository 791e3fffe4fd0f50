"""`lxc completion`: the script that makes a shell complete `lxc`."""

from __future__ import annotations

from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

_FILES = {"bash": "lxc.bash", "fish": "lxc.fish", "zsh": "_lxc"}


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print the script for a shell."""
    from pathlib import Path

    if arguments[0] not in _FILES:
        raise CommandError(f'There is no completion for "{arguments[0]}"', "the shells are bash, fish and zsh")
    session.write((Path(__file__).with_name("shell") / _FILES[arguments[0]]).read_text())
