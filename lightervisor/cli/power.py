"""`lxc start`, `stop`, `restart` and `pause`."""

from __future__ import annotations

from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_BEFORE = {
    "start": ("Stopped", "Frozen"),
    "stop": ("Running", "Ready", "Frozen", "Error"),
    "restart": ("Running", "Ready"),
    "pause": ("Running", "Ready"),
}
_NOTHING_TO_DO = tuple(
    f"The {what} is {how}" for what in ("instance", "container") for how in ("already", "not running")
)


class log_hint:
    """Says where a failed change of state left its reasons, unless there was nothing to change."""

    def __init__(self, server: Server, name: str, default_remote: str = "local") -> None:
        self._label = name if server.name == default_remote else f"{server.name}:{name}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, (ApiError, CommandError)) and not error.message().startswith(_NOTHING_TO_DO):
            text = f"{error.message()}\nTry `lxc info --show-log {self._label}` for more info"
            raise CommandError(text) from error


def change(action: str, *, timeout_s: int = -1, force: bool = False, stateful: bool = False) -> dict[str, Any]:
    """The body of a state change."""
    return {"action": action, "timeout": timeout_s, "force": force, "stateful": stateful}


def start(session: Session, arguments: list[str], flags: Flags) -> None:
    """Start instances; frozen ones go on."""
    _all(session, arguments, flags, "start")


def stop(session: Session, arguments: list[str], flags: Flags) -> None:
    """Stop instances."""
    _all(session, arguments, flags, "stop")


def restart(session: Session, arguments: list[str], flags: Flags) -> None:
    """Restart instances."""
    _all(session, arguments, flags, "restart")


def pause(session: Session, arguments: list[str], flags: Flags) -> None:
    """Freeze instances."""
    _all(session, arguments, flags, "pause")


def _all(session: Session, arguments: list[str], flags: Flags, verb: str) -> None:
    targets = _targets(session, arguments, flags, verb)
    wants_console = verb in ("start", "stop", "restart") and flags.given("console")
    if wants_console and len(targets) != 1:
        raise CommandError("--console can't be used with multiple instances")
    if len(targets) == 1:
        server, name = targets[0]
        _one(session, server, name, flags, verb)
        if wants_console:
            from lightervisor.cli import console

            console.attach(server, name, flags.text("console"))
        return
    _many(session, targets, flags, verb)


def _targets(session: Session, arguments: list[str], flags: Flags, verb: str) -> list[tuple[Server, str]]:
    if not flags.on("all"):
        if not arguments:
            raise WrongArguments
        return [session.resolve_name(argument) for argument in arguments]
    found: list[tuple[Server, str]] = []
    for argument in arguments or [""]:
        server, name = session.resolve(argument)
        if name:
            raise CommandError("Both --all and instance name given")
        instances = as_list(server.get(url("instances", recursion=1)))
        found += [(server, str(i["name"])) for i in instances if i.get("status") in _BEFORE[verb]]
    return found


def _request(server: Server, name: str, flags: Flags, verb: str) -> dict[str, Any]:
    """Ask for the change; the answer's operation is not waited for here."""
    action = "freeze" if verb == "pause" else verb
    options: dict[str, Any] = {}
    if verb == "start":
        instance = server.get(url("instances", name))
        action = "unfreeze" if instance.get("status") == "Frozen" else "start"
        options["stateful"] = bool(instance.get("stateful")) and not flags.on("stateless")
    elif verb in ("stop", "restart"):
        options.update(timeout_s=flags.number("timeout"), force=flags.on("force"))
        options["stateful"] = verb == "stop" and flags.on("stateful")
    return server.put(url("instances", name, "state"), change(action, **options))


def _one(session: Session, server: Server, name: str, flags: Flags, verb: str) -> None:
    envelope = _request(server, name, flags, verb)
    with log_hint(server, name, session.config.default_remote):
        session.run(server, envelope)


def _many(session: Session, targets: list[tuple[Server, str]], flags: Flags, verb: str) -> None:
    """All at once on the server, then each one's end; one failure does not stop the others."""
    running: list[tuple[Server, str, dict[str, Any]]] = []
    failures: list[tuple[str, str]] = []
    for server, name in targets:
        try:
            running.append((server, name, _request(server, name, flags, verb)))
        except ApiError as error:
            failures.append((name, error.message()))
    for server, name, envelope in running:
        try:
            with log_hint(server, name, session.config.default_remote):
                session.run(server, envelope)
        except (ApiError, CommandError) as error:
            failures.append((name, error.message()))
    if failures:
        for name, text in failures:
            first, *more = text.splitlines()
            session.warn(f"{name}: error: {first}")
            for line in more:
                session.warn(f"{name}: {line}")
        session.warn("")
        raise CommandError(f"Some instances failed to {verb}")
