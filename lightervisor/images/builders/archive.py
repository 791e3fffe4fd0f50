"""Members of an image's archive that do not depend on who builds it: root's, with the date that is given."""

import io
import tarfile
from typing import IO


class Archive:
    """A tar file that is being written."""

    def __init__(self, archive: tarfile.TarFile, date: int) -> None:
        self._archive, self._date = archive, date

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """A file with its content."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        self._add(member, io.BytesIO(data))

    def directory(self, name: str, mode: int = 0o755) -> None:
        """A directory; what lies in it comes later."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._add(member)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._add(member)

    def _add(self, member: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        member.mtime = self._date
        self._archive.addfile(member, content)
