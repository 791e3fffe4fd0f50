"""What every command gets: global flags, configuration, connections to the servers it names, and the terminal."""

from __future__ import annotations

import posix
import sys

from lightervisor.cli import config as configuration
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, Server
from lightervisor.client.light_http import unix_connector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lightervisor.cli.config import Config
    from lightervisor.cli.flags import Flags
    from lightervisor.client.light_http import Wire

_REASONS = {2: "no such file or directory", 13: "permission denied", 20: "not a directory", 111: "connection refused"}
_REMEDIES = {
    2: "is the daemon running? LXD_DIR or LXD_SOCKET say where its socket is",
    20: "LXD_DIR has to be a directory",
    13: 'only root and members of the group "lxd" may use it: usermod -aG lxd $USER, then log in again',
    111: "the daemon is not running: start it (systemctl start lxd)",
}


class Session:
    """One run of `lxc`."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self.config, self.environ = config, environ
        self.is_quiet = self.is_debug = self.is_verbose = self.is_forced_local = False
        self.project = environ.get("LXD_PROJECT", "")
        self._servers: dict[str, Server] = {}

    def apply(self, flags: Flags) -> None:
        """Take over the global flags."""
        self.is_quiet, self.is_debug, self.is_verbose = flags.on("quiet"), flags.on("debug"), flags.on("verbose")
        self.is_forced_local = flags.on("force-local")
        self.project = flags.text("project") or self.project

    def parse(self, raw: str) -> tuple[str, str]:
        """`remote:name` as (remote, name)."""
        return self.config.parse(raw)

    def resolve(self, raw: str, *, member: str = "") -> tuple[Server, str]:
        """The server and the name that `remote:name` means."""
        remote, name = self.parse(raw)
        server = self.server(remote)
        return (server.scoped_to(member=member) if member else server), name

    def resolve_name(self, raw: str, what: str = "instance") -> tuple[Server, str]:
        """As `resolve`, refusing an empty name."""
        server, name = self.resolve(raw)
        if not name:
            raise CommandError(f"Missing {what} name")
        return server, name

    def server(self, remote: str = "", *, for_images: bool = False) -> Server:
        """The connection to a remote (the default one); made when first used.

        A public remote is good for its images only. Raises CommandError for a remote that is no LXD server.
        """
        remote = remote or self.config.default_remote
        settings = self.config.remote(remote)
        if settings.get("protocol", "lxd") != "lxd" or (settings.get("public") and not for_images):
            raise CommandError("The remote isn't a private LXD server")
        if remote not in self._servers:
            self._servers[remote] = self.connect(remote, settings)
        return self._servers[remote]

    def connect(self, name: str, settings: Mapping[str, Any]) -> Server:
        """The LXD server with these settings of a remote; nothing is sent yet."""
        address = str(settings.get("addr") or "")
        connector: Callable[[], Wire]
        if self.is_forced_local or address.startswith(("unix:", "/")):
            path = configuration.socket_path("unix://" if self.is_forced_local else address, self.environ)
            connector = _explained(unix_connector(path), path)
        else:
            connector = self._https(name, address)
        server = Server(connector, name=name, project=self.project or str(settings.get("project") or ""))
        if self.is_debug:
            server.trace = self.debug
        return server

    def _https(self, remote: str, address: str) -> Callable[[], Wire]:
        from pathlib import Path

        from lightervisor.client import light_tls

        pinned = Path(self.config.path("servercerts", f"{remote}.crt"))
        identity = (Path(self.config.path("client.crt")), Path(self.config.path("client.key")))
        accepted = pinned if pinned.exists() else None
        authority = Path(self.config.path("client.ca"))
        return light_tls.tls_connector(address, identity=identity, pinned=accepted, authority=authority)

    def certificate_of(self, server: Server) -> str:
        """The certificate (PEM) by which another server shall know this one: the accepted one, else what it tells.

        A server tells its certificate to those whom it trusts only.
        """
        try:
            with open(self.config.path("servercerts", f"{server.name}.crt"), encoding="utf-8") as file:  # noqa: PTH123
                return file.read()
        except FileNotFoundError:
            return str(server.info().get("environment", {}).get("certificate", ""))

    def debug(self, text: str) -> None:
        """Show a message of `--debug`."""
        print(f"DEBUG  {text}", file=sys.stderr)

    def write(self, text: str) -> None:
        """Print to standard output, without an end of line."""
        sys.stdout.write(text)

    def flush(self) -> None:
        """Show what was printed so far."""
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a line unless `--quiet`."""
        if not self.is_quiet:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        """Print a line to standard error."""
        print(text, file=sys.stderr, flush=True)

    def run(self, server: Server, envelope: Mapping[str, Any], label: str = "") -> dict[str, Any]:
        """Wait for the operation in an answer and return it; what is synchronous is returned as it is.

        Shows progress on a terminal as `label: text`; Ctrl-C cancels the operation, a second one leaves at once.
        """
        from lightervisor.cli import progress

        operation: dict[str, Any] = envelope["metadata"]
        if envelope.get("type") != "async":
            return operation
        return progress.wait(server, operation, progress.Line(label, is_shown=self.shows_progress()))

    def shows_progress(self) -> bool:
        """Whether progress lines are wanted: a terminal, and not `--quiet`."""
        return not self.is_quiet and posix.isatty(1)

    def has_terminal(self) -> bool:
        """Whether a person can be asked something."""
        return posix.isatty(0)

    def ask(self, question: str) -> str:
        """A line from the user; an end of input is an empty answer."""
        print(question, end="", flush=True)
        return sys.stdin.readline().rstrip("\n")


def _explained(connect: Callable[[], Wire], path: str) -> Callable[[], Wire]:
    """A connector whose failures read as LXD's, with what to do about them."""

    def attempt() -> Wire:
        try:
            return connect()
        except OSError as error:
            number = error.errno or 0
            reason = _REASONS.get(number, str(error.strerror))
            text = f'Get "http://unix.socket/1.0": dial unix {path}: connect: {reason}'
            raise CommandError(text, _REMEDIES.get(number, "")) from error

    return attempt


def is_missing(error: ApiError) -> bool:
    """Whether the server said that something does not exist."""
    return error.code == 404


def require(server: Server, extension: str) -> None:
    """Refuse what the server cannot do, in LXD's words; raises CommandError."""
    if not server.has(extension):
        raise CommandError(f'The server is missing the required "{extension}" API extension')
