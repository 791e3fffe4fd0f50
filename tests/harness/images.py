"""Small images around the machine's static busybox, in every shape that LXD reads, good and bad."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.harness import processes

BUSYBOX = Path("/bin/busybox")
METADATA = f"""\
architecture: {os.uname().machine}
creation_date: 1700000000
properties:
  description: test busybox
  os: busybox
  release: test
"""
FOLDERS = ["bin", "dev", "etc", "mnt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var", "usr/bin", "usr/sbin"]
# Busybox' own init does not know the signal by which LXD asks for a clean stop; this one does.
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
trap 'exit 0' PWR TERM INT
ip link set lo up
ip link set eth0 up 2>/dev/null && udhcpc -b -S -t 20 -A 1 -i eth0 -s /etc/dhcp >/dev/null 2>&1
echo "busybox is up" >/dev/console
setsid sh -c 'exec sh -i </dev/console >/dev/console 2>&1' &
while :; do sleep 3600 & wait $!; done
"""
DHCP = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
for gateway in $router; do ip route add default via $gateway; done
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
"""
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n",
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/hostname": "busybox\n",
    "etc/dhcp": DHCP,
    "sbin/init": INIT,
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
        if applet not in ("busybox", "init", "linuxrc"):
            add_link(archive, f"{prefix}bin/{applet}", "/bin/busybox")
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


def split(folder: Path, *, metadata: str = METADATA, extra: Mapping[str, bytes] | None = None) -> tuple[Path, Path]:
    """The same in two files: metadata.tar.xz and rootfs.tar.gz; `extra` files go into the root file system."""
    meta, rootfs = folder / "metadata.tar.xz", folder / "rootfs.tar.gz"
    with _open(meta) as archive:
        add_file(archive, "metadata.yaml", metadata.encode())
    with _open(rootfs) as archive:
        busybox_rootfs(archive, "")
        for name, data in (extra or {}).items():
            add_file(archive, name, data)
    return meta, rootfs


def archive_of(path: Path, members: Mapping[str, bytes]) -> Path:
    """An archive with just these files."""
    with _open(path) as archive:
        for name, data in members.items():
            add_file(archive, name, data)
    return path


def _open(path: Path) -> tarfile.TarFile:
    # The least of every compression: hundreds of tests make one.
    suffix = path.name.rpartition(".")[2]
    if suffix == "gz":
        return tarfile.open(path, "w:gz", compresslevel=1)
    if suffix == "xz":
        return tarfile.open(path, "w:xz", preset=0)
    if suffix == "bz2":
        return tarfile.open(path, "w:bz2", compresslevel=1)
    return tarfile.open(path, "w:")
