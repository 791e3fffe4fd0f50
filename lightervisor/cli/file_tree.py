"""The files of one instance through LXD's `/files`: single ones, and whole trees in both directions."""

from __future__ import annotations

import os
import posixpath

from lightervisor.cli import answers
from lightervisor.cli.errors import CommandError
from lightervisor.cli.file_save import Saved
from lightervisor.client import light_json
from lightervisor.client.light import ApiError, Server, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from lightervisor.cli.transfer import Meter
    from lightervisor.client import sftp
    from lightervisor.client.light_http import Response

_MOST_LINKS = 40


class GuestFile:
    """An opened file of an instance: kind (`file`, `directory`, `symlink`), mode, and its content, not yet read."""

    def __init__(self, response: Response) -> None:
        headers = response.headers
        self.kind = headers.get("x-lxd-type", "file")
        self.mode = int(headers.get("x-lxd-mode") or "0644", 8)
        self.size_bytes = int(headers.get("content-length") or 0)
        self._response = response

    def read(self) -> bytes:
        """The content: bytes of a file, target of a link."""
        return self._response.read()

    def blocks(self) -> Iterator[bytes]:
        """The content in pieces."""
        return self._response.blocks()

    def entries(self) -> list[str]:
        """The names in a directory."""
        return list(light_json.loads(self._response.read())["metadata"] or ())


class _NoMeter:
    """Nothing is shown; contextlib.nullcontext would cost its import."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class GuestFiles:
    """The files of the instance `name`, or of its snapshot; what takes long is shown on a progress line if wanted."""

    def __init__(self, server: Server, name: str, *, snapshot: str = "", shows_progress: bool = False) -> None:
        self.name, self._server, self._shows_progress = name, server, shows_progress
        self._place = ("instances", name, "snapshots", snapshot) if snapshot else ("instances", name)

    def of_snapshot(self, name: str) -> GuestFiles:
        """The files of a snapshot, which can be read."""
        return GuestFiles(self._server, self.name, snapshot=name, shows_progress=self._shows_progress)

    def in_snapshot(self, path: str) -> tuple[GuestFiles, str] | None:
        """What a path means whose first part is a snapshot's name; None when there is none, or the server cannot."""
        name, _, rest = path.lstrip("/").partition("/")
        if not name or not self._server.has("instance_snapshot_files"):
            return None
        if not self._server.exists(url("instances", self.name, "snapshots", name)):
            return None
        return self.of_snapshot(name), "/" + rest

    def session(self) -> sftp.Session | None:
        """One stream for many files; None when the server has none."""
        from lightervisor.client import sftp

        return sftp.connect(self._server, url(*self._place, "sftp"))

    def _url(self, path: str) -> str:
        return url(*self._place, "files", path=path)

    def open(self, path: str) -> GuestFile:
        """Open whatever is at `path`."""
        return GuestFile(answers.check(self._server.request("GET", self._url(path))))

    def follow(self, found: GuestFile, path: str) -> tuple[GuestFile, str]:
        """What a link leads to in the end."""
        for _ in range(_MOST_LINKS):
            if found.kind != "symlink":
                return found, path
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.read().decode().strip()))
            found = self.open(path)
        raise CommandError(f"Too many levels of symbolic links: {path}")

    def write(self, path: str, file: BinaryIO, headers: dict[str, str]) -> None:
        """Write a file from an open one; headers name owner and mode."""
        headers = {"X-LXD-type": "file", "X-LXD-write": "overwrite", **headers}
        with self.meter(f"Pushing {file.name} to {path}", os.fstat(file.fileno()).st_size) as meter:
            body = meter.file(file) if meter else file
            answers.content(self._server.request("POST", self._url(path), headers, body))

    def meter(self, label: str, total_bytes: int) -> AbstractContextManager[Meter | None]:
        """Shows how far a transfer is, if that is wanted; a total of 0 is one that is not known."""
        if not self._shows_progress:
            return _NoMeter()
        from lightervisor.cli import progress, transfer

        return transfer.Meter(progress.Line(label, is_shown=True), total_bytes)

    def write_bytes(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        """Write a file (or, with its type in the headers, a link)."""
        headers = {"X-LXD-type": "file", "X-LXD-write": "overwrite", **headers}
        answers.content(self._server.request("POST", self._url(path), headers, content))

    def remove(self, path: str) -> None:
        """Delete a file or an empty directory."""
        self._server.delete(self._url(path))

    def make_folder(self, path: str, headers: dict[str, str]) -> None:
        """Create a directory if there is none."""
        try:
            self.open(path).read()
        except ApiError as error:
            if error.code != 404:
                raise
            self.write_bytes(path, b"", {**headers, "X-LXD-type": "directory"})

    def make_folders(self, path: str) -> None:
        """Create a directory and its parents, owned by the instance's root."""
        place = ""
        for part in path.strip("/").split("/"):
            if part:
                place += "/" + part
                self.make_folder(place, {"X-LXD-mode": "0755", "X-LXD-uid": "0", "X-LXD-gid": "0"})

    def save(self, found: GuestFile, path: str, place: str) -> None:
        """Write an opened file, which is the instance's `path`, to a local path, with its mode."""
        meter = self.meter(f"Pulling {path} from {self.name}", found.size_bytes)
        with Saved(place, found.mode) as file, meter as shown:
            for block in shown.blocks(found.blocks()) if shown else found.blocks():
                file.write(block)

    def pull_tree(self, path: str, place: str) -> None:
        """Copy whatever is at `path`, with all that is in it, to the local `place`."""
        found = self.open(path)
        if os.path.islink(place):  # noqa: PTH114  # the instance may have put it there the last time
            os.unlink(place)  # noqa: PTH108
        if found.kind == "directory":
            names = found.entries()
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
            for name in sorted(names):
                if name in ("", ".", "..") or "/" in name:
                    raise CommandError(f"The instance gave an impossible file name: {name!r}")
                self.pull_tree(posixpath.join(path, name), f"{place}/{name}")
            os.chmod(place, found.mode & 0o777)  # noqa: PTH101
        elif found.kind == "symlink":
            target = found.read().decode().strip()
            if os.path.lexists(place):
                os.unlink(place)  # noqa: PTH108
            os.symlink(target, place)  # noqa: PTH211
        else:
            self.save(found, path, place)

    def push_tree(self, source: str, folder: str) -> None:
        """Copy a local file or directory, with all that is in it, into a directory of the instance."""
        place = posixpath.join(folder, os.path.basename(os.path.abspath(source)))  # noqa: PTH100, PTH119
        status = os.lstat(source)
        headers = {
            "X-LXD-uid": str(status.st_uid),
            "X-LXD-gid": str(status.st_gid),
            "X-LXD-mode": f"{status.st_mode & 0o777:04o}",
        }
        if os.path.islink(source):  # noqa: PTH114
            target = os.readlink(source)  # noqa: PTH115
            self.write_bytes(place, target.encode(), {**headers, "X-LXD-type": "symlink"})
        elif os.path.isdir(source):  # noqa: PTH112
            self.make_folder(place, headers)
            for name in sorted(os.listdir(source)):  # noqa: PTH208
                self.push_tree(os.path.join(source, name), place)  # noqa: PTH118
        elif not os.path.isfile(source):  # noqa: PTH113  # a pipe would be waited for
            raise CommandError(f"'{source}' isn't a supported file type")
        else:
            with open(source, "rb") as file:  # noqa: PTH123
                self.write(place, file, headers)
