"""A small image with everything that is hard to keep, and a look at it as a mapped root has it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage.driver import StorageDriver, Volume, storage_drivers

DRIVERS = sorted(name for name, kind in storage_drivers().items() if kind.__module__.startswith("lightervisor."))
BASE = 1_000_000
MAP = IdMap((IdRange("both", BASE, 0, 65536),))
OTHER = IdMap((IdRange("both", 2_000_000, 0, 65536),))
OWN_FILE_SYSTEM = ("btrfs", "zfs")
"""Drivers whose pools are on a file system of their own, which has no number of inodes, and quotas of its own."""
C1, C2 = Volume("containers", "c1"), Volume("containers", "c2")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")[:20]  # cap_net_bind_service+ep, version 2
Make = Callable[[Path], StorageDriver]


def unpack(target: Path) -> None:
    """A small image with everything that is hard to keep."""
    root = target / "rootfs"
    for name in ("etc/skel", "bin", "home/user", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "etc/hostname").write_text("image\n")
    (root / "etc/skel/profile").write_text("x")
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o4755)
    (root / "bin/ping").write_text("")
    os.setxattr(root / "bin/ping", "security.capability", CAPABILITY)
    os.setxattr(root / "bin/ping", "user.note", b"kept")
    os.link(root / "bin/tool", root / "bin/same")
    (root / "etc/mtab").symlink_to("/proc/mounts")
    os.mkfifo(root / "var/pipe")
    os.chown(root / "home/user", 1000, 1000)
    root.chmod(0o751)
    (target / "metadata.yaml").write_text("architecture: x86_64\n")
    (target / "templates").mkdir()
    (target / "templates/hostname.tpl").write_text("{{ container.name }}")
    (target / "templates/evil.tpl").symlink_to("/etc/shadow")


def inside(root: Path, script: str, idmap: IdMap = MAP) -> str:
    """What a shell says that is root in the map's user namespace, and nobody outside."""
    namespace = namespace_of(idmap)
    enter = ["nsenter", f"--user=/proc/self/fd/{namespace}", "-S", "0", "-G", "0"]
    done = subprocess.run(
        [*enter, "--", "sh", "-ec", f"cd '{root}'\n{script}"],
        pass_fds=[namespace],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
