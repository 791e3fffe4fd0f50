"""`lxc export` and `lxc import`: an instance as a file, and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lightervisor.cli import answers, pairs, progress, transfer
from lightervisor.cli import session as sessions
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client import light_json
from lightervisor.client.light import ApiError, quote, url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Response

DEFAULT = "backup.tar.gz"
_STREAM = "application/octet-stream"
_DAY_S = 24 * 3600


def save(session: Session, arguments: list[str], flags: Flags) -> None:
    """Write an instance to a file: while it is packed where the server can do that, else from what it keeps."""
    server, name = session.resolve_name(arguments[0])
    target = arguments[1] if len(arguments) > 1 else DEFAULT
    alone = flags.on("instance-only")
    request: dict[str, Any] = {
        "instance_only": alone, "container_only": alone, "optimized_storage": flags.on("optimized-storage"),
    }  # fmt: skip
    if algorithm := flags.text("compression"):
        sessions.require(server, "backup_compression_algorithm")
        request["compression_algorithm"] = algorithm
    if target == "-":
        session.is_quiet = True
    backups = url("instances", name, "backups")
    save_from(session, server, backups, request, target)


def save_from(
    session: Session, server: Server, backups: str, request: dict[str, Any], target: str, label: str = "instance"
) -> None:
    """Write a backup that `request` asks of a collection of them into a file."""
    if server.has("direct_backup"):
        _save_packed(session, server, backups, request, target)
    else:
        _save_kept(session, server, backups, request, target, f"Backing up {label}")
    session.say("Backup exported successfully!")


def _save_packed(session: Session, server: Server, backups: str, request: dict[str, Any], target: str) -> None:
    headers = {"Accept": _STREAM, "Content-Type": "application/json"}
    response = answers.check(server.request("POST", backups, headers, light_json.dumps(request).encode()))
    try:
        _save(session, server, response, target)
    except BrokenPipeError:
        raise  # nobody reads standard output any more
    except ConnectionError as error:
        raise _cause(server, response) from error


def _cause(server: Server, response: Response) -> CommandError:
    """Why what is packed meanwhile has broken off: the operation that packed it may tell."""
    try:
        found = as_map(server.get(response.headers["location"])).get("err")
    except (OSError, KeyError, ApiError):
        found = ""
    return CommandError(str(found or "The server closed the connection in the middle of the backup"))


def _save_kept(
    session: Session, server: Server, backups: str, request: dict[str, Any], target: str, label: str
) -> None:
    from datetime import UTC, datetime, timedelta

    ends = datetime.now(UTC) + timedelta(seconds=_DAY_S)
    request = {"name": "", "expires_at": ends.isoformat().replace("+00:00", "Z"), **request}
    operation = session.run(server, server.post(backups, request), label)
    made = str(as_list(as_map(operation.get("resources")).get("backups"))[0]).rpartition("/")[2]
    try:
        response = answers.check(server.request("GET", f"{backups}/{made}/export"))
        _save(session, server, response, target)
    finally:
        session.run(server, server.delete(f"{backups}/{made}"))


def _save(session: Session, server: Server, response: Response, target: str) -> None:
    line = progress.Line("Exporting the backup", is_shown=session.shows_progress())
    blocks = transfer.Meter(line, int(response.headers.get("content-length") or 0)).blocks(response.blocks())
    try:
        if target == "-":
            _print(blocks)
        else:
            transfer.save(blocks, Path(target))
    except BaseException:
        server.close()  # what of the answer was not read would be taken for the next one
        raise
    finally:
        line.done()


def _print(blocks: Iterator[bytes]) -> None:
    for block in blocks:
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def load(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make an instance of a file, or of standard input."""
    words = list(arguments)
    remote = words.pop(0) if words[0].endswith(":") and not Path(words[0]).exists() else ""
    if not 0 < len(words) < 3:
        raise WrongArguments
    server, _ = session.resolve(remote)
    headers = {"Content-Type": _STREAM}
    if len(words) > 1:
        sessions.require(server, "backup_override_name")
        headers["X-LXD-name"] = words[1]
    if pool := flags.text("storage"):
        sessions.require(server, "container_backup_override_pool")
        headers["X-LXD-pool"] = pool
    if devices := pairs.devices(flags.many("device")):
        sessions.require(server, "import_instance_devices")
        headers["X-LXD-devices"] = _query({name: _query(options) for name, options in devices.items()})
    send(session, server, url("instances"), words[0], headers, "Importing instance")


def _query(values: dict[str, str]) -> str:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in values.items())


def send(session: Session, server: Server, path: str, name: str, headers: dict[str, str], label: str) -> None:
    """Send a file, or standard input, to be made into something, and wait until it is."""
    session.run(server, _sent(session, server, path, name, headers, label), label)


def _sent(
    session: Session, server: Server, path: str, name: str, headers: dict[str, str], label: str
) -> dict[str, Any]:
    line = progress.Line(label, is_shown=session.shows_progress())
    try:
        if name == "-":
            body = transfer.Metered(sys.stdin.buffer, transfer.Meter(line, 0))
            return light_json.loads(answers.content(server.request("POST", path, headers, body)))
        try:
            file = Path(name).open("rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise CommandError(f"open {name}: {(error.strerror or str(error)).lower()}") from error
        with file:
            body = transfer.Metered(file, transfer.Meter(line, os.fstat(file.fileno()).st_size))
            return light_json.loads(answers.content(server.request("POST", path, headers, body)))
    finally:
        line.done()
