"""Small images around the machine's static busybox, in every shape that LXD reads, good and bad."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.harness import processes

BUSYBOX = Path("/bin/busybox")
METADATA = """\
architecture: x86_64
creation_date: 1700000000
properties:
  description: test busybox
  os: busybox
  release: test
"""
FOLDERS = "bin dev etc mnt proc root run sbin sys tmp usr usr/bin usr/sbin var var/log".split()
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/hostname": "busybox\n",
    "etc/inittab": "::sysinit:/etc/rc\n::ctrlaltdel:/bin/poweroff\n::shutdown:/bin/true\nconsole::askfirst:-/bin/sh\n",
    "etc/rc": "#!/bin/sh\nip link set lo up\nip link set eth0 up && udhcpc -b -S -i eth0 -s /etc/dhcp\n",
    "etc/dhcp": '#!/bin/sh\n[ "$1" = bound ] && ip addr flush dev $interface && '
    "ip addr add $ip/$mask dev $interface\nexit 0\n",
}
# Enough for the smallest possible image: not bootable, but valid.
TINY: dict[str, bytes] = {"metadata.yaml": METADATA.encode(), "rootfs/etc/hostname": b"tiny\n"}


def add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    """One regular file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), mode, int(time.time())
    archive.addfile(info, io.BytesIO(data))


def add_folder(archive: tarfile.TarFile, name: str) -> None:
    """One folder."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(info)


def add_link(archive: tarfile.TarFile, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
    """One symbolic or hard link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    archive.addfile(info)


def busybox_rootfs(archive: tarfile.TarFile, prefix: str) -> None:
    """A root file system that boots, gets an address by DHCP and stops when asked to."""
    applets = processes.run([BUSYBOX, "--list"]).ok().stdout.split()
    for folder in FOLDERS:
        add_folder(archive, f"{prefix}{folder}")
    add_file(archive, f"{prefix}bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for applet in applets:
        if applet not in ("busybox", "init"):
            add_link(archive, f"{prefix}bin/{applet}", "/bin/busybox")
    add_link(archive, f"{prefix}sbin/init", "/bin/busybox")
    for name, text in FILES.items():
        add_file(archive, f"{prefix}{name}", text.encode(), 0o755 if text.startswith("#!") else 0o644)


def unified(path: Path, *, metadata: str = METADATA, extra: Mapping[str, bytes] | None = None) -> Path:
    """A unified image that boots; the compression follows the file's name."""
    with _open(path) as archive:
        add_file(archive, "metadata.yaml", metadata.encode())
        add_folder(archive, "rootfs")
        busybox_rootfs(archive, "rootfs/")
        for name, data in (extra or {}).items():
            add_file(archive, name, data)
    return path


def split(folder: Path, *, metadata: str = METADATA) -> tuple[Path, Path]:
    """The same in two files: metadata.tar.xz and rootfs.tar.gz."""
    meta, rootfs = folder / "metadata.tar.xz", folder / "rootfs.tar.gz"
    with _open(meta) as archive:
        add_file(archive, "metadata.yaml", metadata.encode())
    with _open(rootfs) as archive:
        busybox_rootfs(archive, "")
    return meta, rootfs


def archive_of(path: Path, members: Mapping[str, bytes]) -> Path:
    """An archive with just these files."""
    with _open(path) as archive:
        for name, data in members.items():
            add_file(archive, name, data)
    return path


def _open(path: Path) -> tarfile.TarFile:
    suffix = path.name.rpartition(".")[2]
    if suffix == "gz":
        return tarfile.open(path, "w:gz")
    if suffix == "xz":
        return tarfile.open(path, "w:xz", preset=0)
    if suffix == "bz2":
        return tarfile.open(path, "w:bz2")
    return tarfile.open(path, "w:")
