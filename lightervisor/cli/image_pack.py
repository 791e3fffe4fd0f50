"""A directory with `metadata.yaml`, `rootfs` and perhaps `templates`, packed into an image while it is uploaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_NEEDED, _OPTIONAL = ("metadata.yaml", "rootfs"), ("templates",)


class Packer:
    """tar's output as a file to read from. Raises CommandError when something is missing or tar fails.

    Nothing is written beside the upload; when tar fails, the reader is told before it believes the end.
    """

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise CommandError("Must run as root to import from directory")
        for member in _NEEDED:
            if not (folder / member).exists():
                raise CommandError(f"The directory {folder} has no {member}", "it needs metadata.yaml and rootfs")
        members = [*_NEEDED, *(name for name in _OPTIONAL if (folder / name).is_dir())]
        packer, suffix = ("zstd -T0", "zst") if shutil.which("zstd") else ("gzip", "gz")
        self.name = f"{folder.resolve().name}.tar.{suffix}"
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        argv = [
            "tar",
            "-C",
            str(folder),
            "--numeric-owner",
            "--sparse",
            "--xattrs",
            "--acls",
            "-I",
            packer,
            "-cf",
            "-",
            "--",
            *members,
        ]
        try:
            self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self._complaints)  # noqa: S603
        except OSError as error:
            self._complaints.close()
            raise CommandError(f"tar could not be started: {error.strerror}") from error

    def __enter__(self) -> Packer:
        return self

    def read(self, size: int, /) -> bytes:
        """Some of the archive; nothing at its end, when tar was content."""
        if self._process.stdout is None:
            raise RuntimeError("tar was started without a pipe")
        data = self._process.stdout.read(size)
        if not data and self._process.wait() != 0:
            self._complaints.seek(0)
            said = self._complaints.read().decode("utf-8", "replace").strip()
            raise CommandError(f"The directory could not be packed: {said or 'tar failed'}")
        return data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()
        self._complaints.close()
