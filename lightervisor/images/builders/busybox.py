"""build:busybox: a small Linux around the host's static busybox; no network needed, the same bytes every time.

What is in it beside the program lies in `files/busybox`, as it will lie in the image.
"""

import os
import tarfile
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.images.builders.archive import Archive
from lightervisor.images.builders.builder import Builder, Files, Product, Workshop, metadata_text
from lightervisor.kernel import process
from lightervisor.model.image import ImageMetadataTemplate

BORN = 1_700_000_000
"""The date of every file: the same input gives the same image."""
FILES = Path(__file__).parent / "files/busybox"
DIRECTORIES = (
    "bin", "dev", "etc", "etc/profile.d", "etc/udhcpc", "home", "mnt", "opt", "proc", "root", "run", "sbin", "sys",
    "tmp", "usr", "usr/bin", "usr/local", "usr/local/bin", "usr/local/sbin", "usr/sbin", "usr/share", "var",
    "var/log", "var/spool", "var/tmp",
)  # fmt: skip
MODES = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777, "etc/shadow": 0o640}
TEMPLATES = {"/etc/hostname": ImageMetadataTemplate(when=["create", "copy", "rename"], template="hostname.tpl")}
_DYNAMIC = b"/ld-linux"


class Busybox(Builder, name="busybox"):
    """One static program as a whole system: init, shell, DHCP client."""

    def products(self) -> list[Product]:
        """The one image."""
        description = "BusyBox, a small Linux system (built on this host)"
        return [Product(aliases=("busybox",), description=description, os="BusyBox", release="static")]

    def build(self, product: Product, architecture: str, workshop: Workshop) -> Files:
        """Pack the archive. Raises HostError when the host has no static busybox."""
        workshop.tell("busybox: packing")
        program = _program()
        applets = process.run([program, "--list-full"]).decode().split()
        plain = workshop.directory / "busybox.tar"
        with tarfile.open(plain, "w") as file:
            archive = Archive(file, BORN)
            archive.file("metadata.yaml", metadata_text(product, architecture, BORN, TEMPLATES))
            archive.directory("templates")
            archive.directory("rootfs")
            for name in DIRECTORIES:
                archive.directory(f"rootfs/{name}", MODES.get(name, 0o755))
            archive.file("rootfs/bin/busybox", program.read_bytes(), mode=0o755)
            own = sorted(path for path in FILES.rglob("*") if path.is_file())
            for path in own:
                name = str(path.relative_to(FILES))
                archive.file(name, path.read_bytes(), mode=_mode(path, name))
            taken = {str(path.relative_to(FILES)) for path in own} | {"rootfs/bin/busybox"}
            for applet in sorted({*applets, "linuxrc"}):
                if f"rootfs/{applet}" not in taken:
                    archive.link(f"rootfs/{applet}", "/bin/busybox")
        workshop.run(["zstd", "--quiet", "-3", "--", plain])
        return Files(workshop.directory / "busybox.tar.zst")


def _mode(file: Path, name: str) -> int:
    with file.open("rb") as content:
        executable = content.read(2) == b"#!"
    return 0o755 if executable else MODES.get(name.removeprefix("rootfs/"), 0o644)


def _program() -> Path:
    for name in ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static"):
        path = Path(name)
        if os.access(path, os.X_OK) and _DYNAMIC not in path.read_bytes()[:4096]:
            return path
    raise HostError(
        "image builder", "busybox", cause="the host has no static busybox", remedy="apt install busybox-static"
    )
