"""`lxc publish`: an image made from an instance or one of its snapshots."""

from __future__ import annotations

from lightervisor.cli import image_lookup, image_relay, pairs, power
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_EXISTS = "The image already exists: "


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make the image, name it and tell its fingerprint."""
    remote, name = session.parse(arguments[0])
    has_target = len(arguments) > 1 and "=" not in arguments[1]
    target_remote, rest = session.parse(arguments[1] if has_target else "")
    if not name:
        raise CommandError("Instance name is mandatory")
    if rest:
        raise CommandError('There is no "image name".  Did you want an alias?', "name it with --alias")
    request = _request(name, arguments[2 if has_target else 1 :], flags)
    server, target = session.server(remote), session.server(target_remote)
    is_copied = remote != target_remote
    if is_copied:
        request["public"] = False
    with _Stopped(session, server, name, is_forced=flags.on("force")):
        fingerprint = _publish(session, server, request, flags)
    if is_copied:
        _move(session, server, target_remote, fingerprint, is_public=flags.on("public"))
    old = _named(target, flags.many("alias")) if flags.on("reuse") else []
    for alias in flags.many("alias"):
        image_lookup.name(target, alias, fingerprint)
    for image in old:
        if image != fingerprint and not as_map(target.get(url("images", image))).get("aliases"):
            session.run(target, target.delete(url("images", image)))
    session.write(f"Instance published with fingerprint: {fingerprint}\n")  # scripts read it, with --quiet too


def _request(name: str, properties: list[str], flags: Flags) -> dict[str, Any]:
    source = {"type": "snapshot" if "/" in name else "instance", "name": name}
    request: dict[str, Any] = {"source": source, "public": flags.on("public")}
    if values := pairs.parse(properties):
        request["properties"] = values
    if flags.text("compression"):
        request["compression_algorithm"] = flags.text("compression")
    if expire := flags.text("expire"):
        request["expires_at"] = _moment(expire)
    return request


def _moment(text: str) -> str:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in text:
        raise CommandError(f'Invalid expiration date: "{text}" is not as 2030-01-02T15:04:05Z')
    return text


def _publish(session: Session, server: Server, request: dict[str, Any], flags: Flags) -> str:
    """The new image's fingerprint; with --reuse that of one with the very same bytes will do."""
    try:
        operation = session.run(server, server.post(url("images"), request), "Publishing instance")
    except (ApiError, CommandError) as error:
        if flags.on("reuse") and error.message().startswith(_EXISTS):
            return error.message().removeprefix(_EXISTS)
        raise
    return str(as_map(operation.get("metadata"))["fingerprint"])


def _move(session: Session, server: Server, remote: str, fingerprint: str, *, is_public: bool) -> None:
    """Bring the image to another server, through this client, and leave none behind."""
    try:
        found = image_lookup.stored(session, f"{server.name}:{fingerprint}")
        image_relay.from_server(session, found, session.server(remote), is_public=is_public)
    finally:
        session.run(server, server.delete(url("images", fingerprint)))


def _named(server: Server, aliases: list[str]) -> list[str]:
    """The images that have these names now."""
    found: dict[str, None] = {}
    for alias in aliases:
        if server.exists(url("images", "aliases", alias)):
            found[str(as_map(server.get(url("images", "aliases", alias)))["target"])] = None
    return list(found)


class _Stopped:
    """An instance that runs is stopped while this lasts, if that is allowed, and an ephemeral one survives it."""

    def __init__(self, session: Session, server: Server, name: str, *, is_forced: bool) -> None:
        self._session, self._server, self._name, self._is_forced = session, server, name, is_forced
        self._was_running = self._was_ephemeral = False

    def __enter__(self) -> None:
        if "/" in self._name:
            return
        instance = as_map(self._server.get(url("instances", self._name)))
        if instance["status"] == "Stopped":
            return
        if not self._is_forced:
            raise CommandError("The instance is currently running. Use --force to have it stopped and restarted")
        self._was_running, self._was_ephemeral = True, bool(instance.get("ephemeral"))
        try:
            if self._was_ephemeral:
                self._set_ephemeral(is_ephemeral=False)
            self._change("stop", force=True)
        except BaseException:
            self._restore_ephemeral()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was_running:
            self._change("start")
            self._restore_ephemeral()

    def _change(self, action: str, *, force: bool = False) -> None:
        body = power.change(action, force=force)
        self._session.run(self._server, self._server.put(url("instances", self._name, "state"), body))

    def _restore_ephemeral(self) -> None:
        if self._was_ephemeral:
            self._set_ephemeral(is_ephemeral=True)

    def _set_ephemeral(self, *, is_ephemeral: bool) -> None:
        path = url("instances", self._name)
        instance, etag = self._server.fetch(path)
        self._session.run(self._server, self._server.put(path, {**instance, "ephemeral": is_ephemeral}, etag))
