"""`lxc version`: ours and the server's."""

from __future__ import annotations

from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session

CLIENT = "5.0.2"


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Print both versions; a server that cannot be asked is `unreachable`, which is no failure."""
    session.write(f"Client version: {CLIENT}\nServer version: {_of_server(session, arguments)}\n")


def _of_server(session: Session, arguments: list[str]) -> str:
    try:
        server, _ = session.resolve(arguments[0] if arguments else "")
        return str(server.info()["environment"]["server_version"])
    except (Failure, OSError, KeyError):
        return "unreachable"
