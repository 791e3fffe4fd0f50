"""The real LXD and Incus, from this distribution's packages, as clients of image servers that are ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.harness import processes
from tests.harness.processes import Done


class Product(NamedTuple):
    """One of the two: its programs, and how it is told where its state and its client's configuration are."""

    daemon: Path
    client: Path
    ready: tuple[str, ...]
    state: str
    configuration: str


LXD = Product(Path("/usr/bin/lxd"), Path("/usr/bin/lxc"), ("/usr/bin/lxd", "waitready"), "LXD_DIR", "LXD_CONF")
INCUS = Product(
    Path("/usr/libexec/incus/incusd"), Path("/usr/bin/incus"), ("/usr/bin/incus", "admin", "waitready"), "INCUS_DIR",
    "INCUS_CONF",
)  # fmt: skip


class Peer:
    """A daemon of its own, with a storage pool and without a network."""

    def __init__(self, product: Product, folder: Path, env: Mapping[str, str]) -> None:
        self.product, self.folder = product, folder
        self.env = {**env, product.state: str(folder / "state"), product.configuration: str(folder / "client")}

    def __call__(self, *words: str, timeout_s: float = 120) -> Done:
        """Run its client."""
        return processes.run([self.product.client, *words], env=self.env, timeout_s=timeout_s)


@contextmanager
def running(product: Product, env: Mapping[str, str]) -> Iterator[Peer]:
    """The daemon, for as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="lv-peer-", dir="/var/tmp"))
    folder.chmod(0o711)
    (folder / "state").mkdir(mode=0o711)
    (folder / "client").mkdir()
    peer = Peer(product, folder, env)
    with (folder / "log").open("wb") as log:
        words = [product.daemon, "--group", "root"]
        process = subprocess.Popen(
            words, env={**os.environ, **peer.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        processes.run([*product.ready, "--timeout=60"], env=peer.env).ok()
        peer("storage", "create", "default", "dir").ok()
        peer("profile", "device", "add", "default", "root", "disk", "path=/", "pool=default").ok()
        yield peer
    finally:
        for name in peer("list", "-f", "csv", "-c", "n").stdout.split():
            peer("delete", "--force", name)
        for fingerprint in peer("image", "list", "-f", "csv", "-c", "F").stdout.split():
            peer("image", "delete", fingerprint)
        peer("profile", "device", "remove", "default", "root")
        peer("storage", "delete", "default")
        process.terminate()
        process.wait(timeout=60)
        for name in ("devlxd", "shmounts", "guestapi"):
            subprocess.run(["umount", "-l", folder / "state" / name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
