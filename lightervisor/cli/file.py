"""`lxc file`: pull, push, edit and delete files of an instance."""

from __future__ import annotations

import os
import posixpath
import sys

from lightervisor.cli import editor
from lightervisor.cli.errors import CommandError
from lightervisor.cli.file_tree import GuestFiles
from lightervisor.client.light import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.sftp import Session as Stream

_SMALL = 1 << 20
"""Holes of files below this size are no matter."""


def _guest(session: Session, raw: str, what: str) -> tuple[GuestFiles, str]:
    """The instance and the path that `[remote:]instance/path` means."""
    server, rest = session.resolve(raw)
    name, slash, path = rest.partition("/")
    if not slash or not name:
        raise CommandError(f"Invalid {what} {raw}")
    return GuestFiles(server, name, shows_progress=session.shows_progress()), "/" + path


def pull(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy files from an instance; `-` is standard output."""
    *sources, target = arguments
    is_folder = os.path.isdir(target)  # noqa: PTH112
    if not is_folder and (len(sources) > 1 or target.endswith("/")):
        if os.path.exists(target):  # noqa: PTH110
            raise CommandError("More than one file to download, but target is not a directory")
        os.makedirs(target)  # noqa: PTH103
        is_folder = True
    if flags.on("create-dirs") and not is_folder and os.path.dirname(target):  # noqa: PTH120
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    for source in sources:
        files, path = _guest(session, source, "source")
        if flags.text("snapshot"):
            files = files.of_snapshot(flags.text("snapshot"))
        name = posixpath.basename(path.rstrip("/")) or files.name
        pulling = _Pull(session, os.path.join(target, name) if is_folder else target, is_folder, flags.on("recursive"))  # noqa: PTH118
        try:
            pulling.pull(files, path)
        except ApiError as error:
            # What is in the instance comes first: c1/snap0/etc/passwd may be a file of c1.
            found = files.in_snapshot(path) if error.code == 404 and not flags.text("snapshot") else None
            if found is None:
                raise
            pulling.pull(*found)


class _Streams:
    """The instance's stream while the context lasts, None when the server has none."""

    def __init__(self, files: GuestFiles) -> None:
        self._stream = files.session()

    def __enter__(self) -> Stream | None:
        return self._stream

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


class _Pull:
    """One thing to be pulled to a local place, which is in a folder that was named, or was named itself."""

    def __init__(self, session: Session, place: str, is_in_folder: bool, is_recursive: bool) -> None:
        self._session, self._place, self._is_in_folder, self._is_recursive = session, place, is_in_folder, is_recursive

    def pull(self, files: GuestFiles, path: str) -> None:
        """Pull it; directories only recursively."""
        if self._is_recursive and self._pull_stream(files, path):
            return
        found = files.open(path)
        if found.kind == "symlink" and not self._is_recursive:
            found, path = files.follow(found, path)
        if found.kind == "directory":
            found.read()
            if not self._is_recursive:
                raise CommandError("Can't pull a directory without --recursive")
            files.pull_tree(path, self._tree_place(files, path))
        elif self._place == "-":
            for block in found.blocks():
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
        else:
            files.save(found, path, self._place)

    def _pull_stream(self, files: GuestFiles, path: str) -> bool:
        """Pull a tree by one stream; false when the server has none, or this is a single file."""
        with _Streams(files) as stream:
            if stream is None:
                return False
            from lightervisor.cli.file_pull import TreePull, is_directory

            if not stream.run(is_directory(path)):
                return False
            place = self._tree_place(files, path)
            os.makedirs(os.path.dirname(place) or ".", exist_ok=True)  # noqa: PTH103, PTH120
            with files.meter(f"Pulling {path} from {files.name}", 0) as meter:
                TreePull(stream, meter, self._session.warn).pull(path, place)
            return True

    def _tree_place(self, files: GuestFiles, path: str) -> str:
        """A tree goes into what is named, which is made."""
        if self._is_in_folder:
            return self._place
        return os.path.join(self._place, posixpath.basename(path.rstrip("/")) or files.name)  # noqa: PTH118


def push(session: Session, arguments: list[str], flags: Flags) -> None:
    """Copy files into an instance; `-` is standard input."""
    *sources, target = arguments
    files, path = _guest(session, target, "target")
    owner = _owner_flags(flags)
    if flags.on("recursive"):
        if owner:
            raise CommandError("Can't supply uid/gid/mode in recursive mode")
        _push_trees(files, sources, path, makes_folders=flags.on("create-dirs"))
        return
    is_folder = target.endswith("/") or len(sources) > 1
    if flags.on("create-dirs"):
        files.make_folders(path if is_folder else posixpath.dirname(path))
    for source in sources:
        _push_one(files, source, path, owner, is_folder=is_folder)


def _push_trees(files: GuestFiles, sources: list[str], path: str, *, makes_folders: bool) -> None:
    """Push trees, by one stream when the server has one."""
    with _Streams(files) as stream:
        if stream is not None:
            from lightervisor.cli import file_push

            if makes_folders:
                stream.run(file_push.make_directories(path))
            with files.meter(f"Pushing to {path}", file_push.total_size(sources)) as meter:
                file_push.TreePush(stream, meter).push(sources, path)
            return
    if makes_folders:
        files.make_folders(path)
    for source in sources:
        files.push_tree(source, path)


def _push_one(files: GuestFiles, source: str, path: str, owner: dict[str, str], *, is_folder: bool) -> None:
    name = "stdin" if source == "-" else os.path.basename(source.rstrip("/"))  # noqa: PTH119
    if os.path.isdir(source):  # noqa: PTH112
        raise CommandError(f"{source} is a directory", "use --recursive")
    file: BinaryIO = sys.stdin.buffer if source == "-" else open(source, "rb")  # noqa: PTH123, SIM115
    with file:
        headers = {**_owner_of(file), **owner}
        try:
            _write(files, source, file, posixpath.join(path, name) if is_folder else path, headers)
        except ApiError as error:
            # LXD 2.0 put the file into a directory that is named without the slash; 5.0 refuses.
            if is_folder or "is a directory" not in error.sentence() or not file.seekable():
                raise
            file.seek(0)
            _write(files, source, file, posixpath.join(path, name), headers)


def _write(files: GuestFiles, source: str, file: BinaryIO, path: str, headers: dict[str, str]) -> None:
    """Write one file: one with holes by a stream, which keeps them, when the server has one."""
    status = os.fstat(file.fileno())
    if source == "-" or status.st_blocks * 512 >= status.st_size or status.st_size < _SMALL:
        files.write(path, file, headers)
        return
    with _Streams(files) as stream:
        if stream is None:
            files.write(path, file, headers)
            return
        from lightervisor.cli.file_push import TreePush
        from lightervisor.client.sftp_packets import Attributes

        uid, gid, mode = (headers[f"X-LXD-{key}"] for key in ("uid", "gid", "mode"))
        wanted = Attributes(uid=int(uid), gid=int(gid), mode=int(mode, 8))
        with files.meter(f"Pushing {source} to {path}", status.st_size) as meter:
            TreePush(stream, meter).push_file(source, path, wanted)


def _owner_of(file: BinaryIO) -> dict[str, str]:
    status = os.fstat(file.fileno())
    return {
        "X-LXD-uid": str(status.st_uid),
        "X-LXD-gid": str(status.st_gid),
        "X-LXD-mode": f"{status.st_mode & 0o777:04o}",
    }


def _owner_flags(flags: Flags) -> dict[str, str]:
    headers: dict[str, str] = {}
    for flag in ("uid", "gid"):
        if flags.given(flag) and flags.number(flag) >= 0:
            headers[f"X-LXD-{flag}"] = str(flags.number(flag))
    mode = flags.text("mode")
    if mode:
        if not all(digit in "01234567" for digit in mode):
            raise CommandError(f'strconv.ParseInt: parsing "{mode}": invalid syntax')
        headers["X-LXD-mode"] = mode.rjust(4, "0")
    return headers


def edit(session: Session, arguments: list[str], flags: Flags) -> None:
    """Change a file; owner and mode stay."""
    _ = flags
    files, path = _guest(session, arguments[0], "source")
    if not session.has_terminal():
        files.write_bytes(path, sys.stdin.buffer.read(), {})
        return
    text = files.open(path).read().decode("utf-8", "surrogateescape")
    suffix = os.path.splitext(path)[1]  # noqa: PTH122
    changed = editor.run_editor(session.environ, text, suffix)
    files.write_bytes(path, changed.encode("utf-8", "surrogateescape"), {})


def delete(session: Session, arguments: Sequence[str], flags: Flags) -> None:
    """Delete files and empty directories."""
    _ = flags
    for argument in arguments:
        files, path = _guest(session, argument, "path")
        files.remove(path)
