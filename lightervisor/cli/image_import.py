"""`lxc image import`: from one file, two files, a directory or, by the server, from a URL."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from lightervisor.cli import answers, image_lookup, image_pack, pairs, progress, transfer
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client import light_json
from lightervisor.client.light import quote, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server
    from lightervisor.client.light_http import Readable

_STREAM = "application/octet-stream"


def import_(session: Session, arguments: list[str], flags: Flags) -> None:
    """Make an image of files, name it and tell its fingerprint."""
    remote, files, properties = sorted_out(arguments, lambda text: Path(text).exists())
    server, _ = image_lookup.server_of(session, remote or f"{session.config.default_remote}:")
    values = pairs.parse(properties)
    if files[0].startswith(("https://", "http://")):
        operation = _fetch(session, server, files, values, flags)
    else:
        operation = _upload(session, server, files, values, flags)
    fingerprint = str(light_json.as_map(operation.get("metadata"))["fingerprint"])
    for alias in flags.many("alias"):
        image_lookup.name(server, alias, fingerprint)
    session.say(f"Image imported with fingerprint: {fingerprint}")


def sorted_out(arguments: Sequence[str], exists: Callable[[str], bool]) -> tuple[str, list[str], list[str]]:
    """The remote, the one or two files, and the properties. Raises WrongArguments.

    `key=value` is a property unless a file has that name; `name:` is a remote. Without any file the first argument
    is one that is missing.
    """
    remote, files, properties = "", list[str](), list[str]()
    for argument in arguments:
        if "=" in argument and not argument.startswith("https://") and not exists(argument):
            properties.append(argument)
        elif argument.endswith(":") and not exists(argument):
            remote = argument
        else:
            files.append(argument)
    if not files and properties:
        files.append(properties.pop(0))
    if not 0 < len(files) < 3:
        raise WrongArguments
    return remote, files, properties


def _fetch(
    session: Session, server: Server, files: list[str], properties: dict[str, str], flags: Flags
) -> dict[str, Any]:
    """Have the server download the image of a URL."""
    if not files[0].startswith("https://"):
        raise CommandError("Only https:// is supported for remote image import")
    if len(files) > 1:
        raise CommandError("An image of a URL has no second file")
    source = {"type": "url", "mode": "pull", "protocol": "direct", "url": files[0]}
    request = {"source": source, "public": flags.on("public"), "properties": properties}
    return session.run(server, server.post(url("images"), request), "Importing image")


def _upload(
    session: Session, server: Server, files: list[str], properties: dict[str, str], flags: Flags
) -> dict[str, Any]:
    headers = {"X-LXD-public": "true"} if flags.on("public") else {}
    if properties:
        headers["X-LXD-properties"] = "&".join(f"{quote(key)}={quote(value)}" for key, value in properties.items())
    line = progress.Line("Transferring image", is_shown=session.shows_progress())
    with ExitStack() as stack:
        try:
            envelope = _send(server, [_open(Path(file), stack) for file in files], headers, line)
        finally:
            line.done()
    return session.run(server, envelope, "Importing image")


def _open(path: Path, stack: ExitStack) -> tuple[str, Readable, int]:
    """The name of a file, its content and its size (0: not known); a directory is packed while it is read."""
    if path.is_dir():
        packer = stack.enter_context(image_pack.Packer(path))
        return packer.name, packer, 0
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    return path.name, file, os.fstat(file.fileno()).st_size


def _send(
    server: Server, files: Sequence[tuple[str, Readable, int]], headers: Mapping[str, str], line: progress.Line
) -> dict[str, Any]:
    sizes = [size for _, _, size in files]
    meter = transfer.Meter(line, sum(sizes) if all(sizes) else 0)
    parts = [(name, transfer.Metered(file, meter)) for name, file, _ in files]
    sent = {**headers, "X-LXD-filename": _header(parts[0][0]), "Content-Type": _STREAM}
    if len(parts) == 1:
        return _answer(server, sent, parts[0][1])
    from lightervisor.client import light_multipart

    form = light_multipart.Form(os.urandom(16).hex())
    for field, (name, file) in zip(("metadata", "rootfs"), parts, strict=True):
        form.add(field, name, file)
    form.finish()
    return _answer(server, {**sent, "Content-Type": form.content_type}, form)


def _answer(server: Server, headers: Mapping[str, str], body: Readable) -> dict[str, Any]:
    return light_json.loads(answers.content(server.request("POST", url("images"), headers, body)))


def _header(text: str) -> str:
    """What of a file's name a header can carry."""
    return "".join(char for char in text if char.isascii() and char.isprintable())
