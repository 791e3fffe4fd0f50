"""One of everything that a file system can hold, made and looked for again."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from tests.harness.crafted import COMPRESSORS

ODD_NAME = b"\xe9t\xe9 \xff"
HOLE = 64 << 20
_BITS = struct.pack("<IIII", 1 << 10, 0, 0, 0)
CAPABILITY = struct.pack("<I", 0x02000001) + _BITS  # cap_net_bind_service=ep
ACL = "system.posix_acl_access"


def make(rootfs: Path) -> None:
    """Put them into a directory."""
    (rootfs / "owned").write_text("x")
    os.chown(rootfs / "owned", 4242, 2424)
    (rootfs / "setuid").write_text("x")
    (rootfs / "setuid").chmod(0o4755)
    os.setxattr(rootfs / "setuid", "security.capability", CAPABILITY)
    os.setxattr(rootfs / "owned", "user.colour", b"blue")
    subprocess.run(["setfacl", "-m", "u:77:r", rootfs / "owned"], check=True)
    (rootfs / "hard").hardlink_to(rootfs / "owned")
    (rootfs / "link").symlink_to("/etc/passwd")
    with (rootfs / "sparse").open("wb") as sparse:
        sparse.truncate(HOLE)
    os.mknod(rootfs / "null", 0o20666, os.makedev(1, 3))
    os.mkfifo(rootfs / "fifo")
    with open(bytes(rootfs) + b"/" + ODD_NAME, "wb") as odd:  # noqa: PTH123  # no Path for such a name
        odd.write(b"odd")


def check(rootfs: Path, *, base: int = 0, has_acl: bool = True) -> None:
    """Fail unless they are there again; `base` is what is added to owners where the directory is seen from."""
    owned = (rootfs / "owned").stat()
    assert (owned.st_uid, owned.st_gid) == (base + 4242, base + 2424)
    assert (rootfs / "setuid").stat().st_mode & 0o7777 == 0o4755
    capability = os.getxattr(rootfs / "setuid", "security.capability")
    assert capability == (struct.pack("<I", 0x03000001) + _BITS + struct.pack("<I", base) if base else CAPABILITY)
    assert os.getxattr(rootfs / "owned", "user.colour") == b"blue"
    assert (rootfs / "hard").stat().st_ino == owned.st_ino
    assert (rootfs / "link").readlink() == Path("/etc/passwd")
    sparse = (rootfs / "sparse").stat()
    assert sparse.st_size == HOLE
    assert sparse.st_blocks * 512 < 1 << 20
    assert (rootfs / "null").lstat().st_rdev == os.makedev(1, 3)
    assert (rootfs / "fifo").is_fifo()
    assert ODD_NAME in os.listdir(bytes(rootfs))  # noqa: PTH208  # no Path for such a name
    if has_acl:
        listed = subprocess.run(["getfacl", "-nc", rootfs / "owned"], capture_output=True, text=True, check=True)
        assert f"user:{base + 77}:r--" in listed.stdout


def pack(tree: Path, to: Path) -> Path:
    """One tar archive of a tree, as a publisher makes it."""
    words = ["tar", "--create", f"--file={to}", f"--directory={tree}", "--numeric-owner", "--sparse", "--acls"]
    subprocess.run([*words, "--xattrs", "--xattrs-include=*", "."], check=True)
    return to


def packed(tree: Path, folder: Path, suffix: str) -> Path:
    """The archive of a tree, in any format; of those only mksquashfs does not read ACLs."""
    if suffix == "squashfs":
        target = folder / "image.squashfs"
        subprocess.run(["mksquashfs", tree, target, "-quiet", "-no-progress"], check=True, capture_output=True)
        return target
    plain = pack(tree, folder / "image.tar")
    if suffix == "tar":
        return plain
    target = folder / f"image.tar.{suffix}"
    with target.open("wb") as out:
        subprocess.run([*COMPRESSORS[suffix], plain], stdout=out, check=True)
    return target
