"""Tar archives compressed by gzip: LXD's own choice, which takes one core. Here it takes all of them."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from lightervisor.errors import HostError
from lightervisor.images import gzip_program
from lightervisor.images.formats.tar import Tar

LEVEL = "-6"
"""When none is asked for: a fiftieth larger than gzip's own 6, in less than half the time."""
_LIBRARY = "zlib_ng"


class Gzip(Tar, name="gz"):
    """A tar archive behind gzip."""

    SUFFIX = ".tar.gz"
    MAGIC = (0, b"\x1f\x8b")
    ALGORITHM = "gzip"
    DECOMPRESS: ClassVar[tuple[str, ...]] = ("gzip", "-dc")

    def packer(self, level: str) -> Sequence[str]:
        """Our program, in its own text: the sandbox has none of our files."""
        interpreter = Path(sys.executable).resolve()
        return [str(interpreter), "-IS", "-c", Path(gzip_program.__file__).read_text(), level or LEVEL]

    def packer_sees(self) -> Mapping[Path, str]:
        """The library, which is not imported here, and an interpreter that is not one of the host's programs."""
        found = importlib.util.find_spec(_LIBRARY)
        if found is None or not found.submodule_search_locations:
            raise HostError("program", "gzip", cause=f"there is no {_LIBRARY}", remedy="install zlib-ng")
        shown = {Path(found.submodule_search_locations[0]): f"{gzip_program.LIBRARIES}/{_LIBRARY}"}
        home = Path(sys.base_prefix).resolve()
        if not home.is_relative_to("/usr"):
            shown[home] = str(home)
        return shown
