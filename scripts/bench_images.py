"""Images under the clock: imports, first launches, exports and unpacking, with a Debian as image servers pack it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lightervisor.images.meter import Limits, Meter  # from the checkout this script is in
from lightervisor.images.unpack import unpack
from scripts.bench_systems import System

ALIAS = "bench-packed"


class Packed:
    """One image in two files: metadata, and a root file system packed with xz."""

    def __init__(self, meta: Path, root: Path) -> None:
        self.meta, self.root = meta, root

    def import_into(self, system: System) -> float:
        """Import it; the seconds it took."""
        return system.run("image", "import", self.meta, self.root, "--alias", ALIAS)

    def import_anew(self, system: System) -> float:
        """Import it where it may have been before; the seconds that the import alone took."""
        if any(entry["name"] == ALIAS for entry in system.get("/1.0/images/aliases?recursion=1")):
            system.run("image", "delete", ALIAS)
        return self.import_into(system)

    def launch_first(self, system: System) -> float:
        """Launch it where it is not unpacked yet; the seconds that the launch alone took."""
        self.import_anew(system)
        took = system.run("launch", ALIAS, "bench-first")
        system.run("delete", "--force", "bench-first")
        return took

    def export_from(self, system: System) -> float:
        """Export both files; the seconds it took."""
        with tempfile.TemporaryDirectory(dir=self.root.parent) as target:
            return system.run("image", "export", ALIAS, target)

    def unpacked_against_tools(self) -> float:
        """How many times as long as `xz -dc | tar -x` we need to unpack it, with all that we check."""
        places = [Path(tempfile.mkdtemp(dir=self.root.parent)) for _ in range(2)]
        try:
            start = time.perf_counter()
            (places[0] / "rootfs").mkdir()
            words = 'xz -dc -T0 "$1" | tar --numeric-owner --xattrs --xattrs-include="*" --acls -xpf - -C "$2"'
            subprocess.run(["sh", "-c", words, "sh", self.root, places[0] / "rootfs"], check=True)
            middle = time.perf_counter()
            unpack(self.meta, self.root, places[1], Meter(self.root.stat().st_size, places[1], limits=Limits()))
            return (time.perf_counter() - middle) / (middle - start)
        finally:
            for place in places:
                shutil.rmtree(place)
