"""Archives of images: told apart by their first bytes, unpacked by the native tools in a sandbox.

The tools see the host's programs read-only, the archive and the empty target, and nothing else: whatever an
archive tries, there is no other directory to write to. Source: bwrap(1), tar(1), unsquashfs(1).
"""

import stat
import tarfile
from pathlib import Path
from typing import IO

from lightervisor.errors import HostError, Invalid
from lightervisor.images.metadata import LARGEST
from lightervisor.kernel import process

MAGIC = (
    (0, b"\x1f\x8b", "gzip"), (0, b"BZh", "bzip2"), (0, b"\xfd7zXZ\0", "xz"), (0, b"\x5d\0\0", "lzma"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"), (0, b"\x04\x22\x4d\x18", "lz4"), (0, b"hsqs", "squashfs"),
    (257, b"ustar", "tar"),
)  # fmt: skip
DECOMPRESSOR = {"gzip": "gzip", "bzip2": "bzip2", "xz": "xz", "lzma": "xz", "zstd": "zstd", "lz4": "lz4"}
SUFFIX = {
    "gzip": ".tar.gz", "bzip2": ".tar.bz2", "xz": ".tar.xz", "lzma": ".tar.lzma", "zstd": ".tar.zst",
    "lz4": ".tar.lz4", "squashfs": ".squashfs", "tar": ".tar",
}  # fmt: skip
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP", "SYS_ADMIN")
TAR = (
    "tar", "--extract", "--file=/archive", "--directory=/target", "--numeric-owner", "--preserve-permissions",
    "--same-owner", "--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--acls", "--restrict",
)  # fmt: skip
MOST_MEMBERS_BEFORE_METADATA = 1_000_000


def kind_of(path: Path) -> str:
    """The format of a file: tar, gzip, …, squashfs. Raises Invalid for anything else."""
    with path.open("rb") as file:
        head = file.read(512)
    for offset, magic, kind in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    raise Invalid("image", text="Unsupported compression", remedy="give a tar archive or a squashfs file")


def read_metadata(path: Path) -> bytes:
    """metadata.yaml of a tarball, read from the stream. Raises Invalid when there is none or it is no plain file."""
    kind = kind_of(path)
    if kind == "squashfs":
        return _squashfs_metadata(path)
    if kind == "tar":
        with path.open("rb") as file:
            return _find_metadata(file)
    command = [DECOMPRESSOR[kind], "-dc"] + (["--format=lzma"] if kind == "lzma" else [])
    with path.open("rb") as file:
        child = process.spawn(command, stdin=file.fileno(), stdout=process.PIPE, stderr=process.PIPE)
    with child:
        try:
            if child.stdout is None:
                raise HostError("program", command[0])
            return _find_metadata(child.stdout)
        finally:
            child.kill()


def _find_metadata(stream: IO[bytes]) -> bytes:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for count, member in enumerate(archive):
                if member.name.removeprefix("./") == "metadata.yaml":
                    if not member.isreg():
                        raise Invalid("image", text="The image's metadata.yaml is not a regular file")
                    if member.size > LARGEST:
                        raise Invalid("image", cause=f"metadata.yaml is larger than {LARGEST} bytes")
                    found = archive.extractfile(member)
                    return found.read() if found else b""
                if count > MOST_MEMBERS_BEFORE_METADATA:
                    break
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Invalid("image", cause=f"the archive is damaged: {error}") from error
    raise Invalid("image", text="Metadata tarball is missing metadata.yaml")


def _squashfs_metadata(path: Path) -> bytes:
    try:
        return process.run(["unsquashfs", "-cat", path, "metadata.yaml"], timeout_s=60)
    except HostError as error:
        raise Invalid("image", text="Metadata tarball is missing metadata.yaml") from error


def unpack(path: Path, target: Path) -> None:
    """Unpack a whole archive into an existing directory. Raises Invalid when it is damaged."""
    kind = kind_of(path)
    if kind == "squashfs":
        command = ["unsquashfs", "-force", "-no-progress", "-dest", "/target", "/archive"]
    else:
        command = [*TAR]
        if kind != "tar":
            command.append(f"--use-compress-program={DECOMPRESSOR[kind]}")
    try:
        process.run([*_sandbox(path, target), *command])
    except HostError as error:
        if "No space left" in error.cause:
            raise HostError("image", cause="no space left on the pool's file system") from error
        raise Invalid("image", cause=f"the archive cannot be unpacked: {error.cause}") from error


def _sandbox(path: Path, target: Path) -> list[str]:
    words = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent", "--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        words += ["--cap-add", f"CAP_{capability}"]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64", "/etc/ld.so.cache"):
        words += ["--ro-bind-try", name, name]
    return [*words, "--ro-bind", str(path), "/archive", "--dev-bind", str(target), "/target", "--proc", "/proc"]


def check_tree(target: Path) -> None:
    """Raise Invalid unless an unpacked image is what it must be: real directories and a plain metadata.yaml."""
    for name, is_right in (("rootfs", stat.S_ISDIR), ("metadata.yaml", stat.S_ISREG), ("templates", stat.S_ISDIR)):
        try:
            mode = (target / name).lstat().st_mode
        except FileNotFoundError:
            if name == "templates":
                continue
            raise Invalid("image", text=f"The image has no {name}") from None
        if not is_right(mode):
            raise Invalid("image", text=f"The image's {name} is not a plain {'file' if '.' in name else 'directory'}")
