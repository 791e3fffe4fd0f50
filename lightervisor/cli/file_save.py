"""A local file that is being pulled: it has its name when it is whole, and holes where there are zeros."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO

_ZEROS = bytes(256 << 10)


class Saved:
    """A file at a path, for the length of a context; one that ends by an exception leaves what was there before.

    A device or pipe, a file with other names, and one in a directory that may not be written, are written in place.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path, self._mode = os.path.realpath(path), mode
        self._beside = ""
        self._end = 0

    def __enter__(self) -> Saved:
        if self._is_replaceable():
            folder, name = os.path.split(self._path)
            beside = f"{folder}/.{name[:200]}.{os.urandom(4).hex()}"
            try:
                self._file = self._opened(beside, os.O_CREAT | os.O_EXCL)
                self._beside = beside
            except PermissionError:
                self._file = self._opened(self._path, os.O_CREAT | os.O_TRUNC)
        else:
            self._file = self._opened(self._path, os.O_CREAT | os.O_TRUNC)
        return self

    def _is_replaceable(self) -> bool:
        if not os.path.lexists(self._path):
            return True
        return os.path.isfile(self._path) and os.stat(self._path).st_nlink == 1  # noqa: PTH113, PTH116

    @staticmethod
    def _opened(path: str, flags: int) -> FileIO:
        return open(
            path, "wb", buffering=0, opener=lambda path, _: os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
        )

    def write(self, block: bytes) -> None:
        """Add some bytes."""
        if self._beside and block == (_ZEROS if len(block) == len(_ZEROS) else _ZEROS[: len(block)]):
            self._file.seek(len(block), os.SEEK_CUR)
        else:
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._end += len(block)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._beside:
            try:
                if kind is None:
                    self._file.truncate(self._end)
                    os.fchmod(self._file.fileno(), self._mode & 0o777)
                    os.rename(self._beside, self._path)  # noqa: PTH104
                    self._beside = ""
            finally:
                self._file.close()
                if self._beside:
                    os.unlink(self._beside)  # noqa: PTH108
            return
        if kind is None and os.path.isfile(self._path):  # noqa: PTH113
            os.fchmod(self._file.fileno(), self._mode & 0o777)
        self._file.close()
