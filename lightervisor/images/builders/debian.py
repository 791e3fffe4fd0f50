"""build:debian/12 and build:debian/13, each also with /cloud: Debian from this host's mirrors, made by mmdebstrap.

Built in a user namespace of its own, in which mmdebstrap sees the host's programs and the workshop: packages' scripts
run as nobody the host knows. The same packages on the same day give the same bytes. What is in an image beside the
packages lies in `files/debian`; there is no udev, which a container has no use for. Source: mmdebstrap(1).
"""

import re
import shutil
import tarfile
import time
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.images.builders import host_apt
from lightervisor.images.builders.archive import Archive
from lightervisor.images.builders.builder import Builder, Files, Product, Workshop, metadata_text
from lightervisor.images.builders.mmdebstrap_progress import Listener
from lightervisor.images.sandbox import workplace
from lightervisor.kernel import idmap
from lightervisor.model.image import ImageMetadataTemplate

FILES = Path(__file__).parent / "files/debian"
RELEASES = {"12": "bookworm", "13": "trixie"}
PACKAGES = (
    "ca-certificates", "dbus", "iproute2", "iputils-ping", "libnss-myhostname", "libpam-systemd", "login", "mount",
    "netbase", "passwd", "procps", "systemd", "systemd-resolved", "systemd-sysv", "tzdata",
)  # fmt: skip
CLOUD_PACKAGES = ("cloud-init", "openssh-client", "sudo")
MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
"""mmdebstrap's way to a merged /usr without the package usrmerge, which brings 50 MB of Perl."""
DAY = 86400
SPACE = 2 << 30
"""Most bytes that a system takes while it is put together."""
_AT_BIRTH = ["create", "copy", "rename"]
TEMPLATES = {
    "/etc/hostname": ImageMetadataTemplate(when=_AT_BIRTH, template="hostname.tpl"),
    "/etc/hosts": ImageMetadataTemplate(when=_AT_BIRTH, template="hosts.tpl"),
}
SEED = "/var/lib/cloud/seed/nocloud-net"
_EMPTY = {"default": "#cloud-config\n{}"}
_NETWORK = {"default": "version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - type: dhcp\n"}
CLOUD_TEMPLATES = {
    f"{SEED}/{name}-data": ImageMetadataTemplate(
        when=["create", "copy"], template=f"cloud-init-{name}.tpl", properties=properties
    )
    for name, properties in (("meta", {}), ("user", _EMPTY), ("vendor", _EMPTY))
} | {
    f"{SEED}/network-config": ImageMetadataTemplate(
        when=["create", "copy"], template="cloud-init-network.tpl", properties=_NETWORK
    )
}


class Debian(Builder, name="debian"):
    """Debian's stable release and the one before."""

    def products(self) -> list[Product]:
        """Each release, plain and with cloud-init."""
        return [
            Product(
                aliases=tuple(f"debian/{name}{suffix}" for suffix in suffixes for name in (number, release)),
                description=f"Debian {number} ({release}){note} (built on this host)",
                os="Debian",
                release=release,
                variant=variant,
            )
            for number, release in RELEASES.items()
            for variant, suffixes, note in (
                ("default", ("", "/default"), ""),
                ("cloud", ("/cloud",), " with cloud-init"),
            )
        ]

    def build(self, product: Product, architecture: str, workshop: Workshop) -> Files:
        """Run mmdebstrap. Raises HostError when a program is missing, no mirror answers or a package fails."""
        variants = ("default", "cloud") if product.variant == "cloud" else ("default",)
        today = int(time.time()) // DAY * DAY

        def tell(text: str) -> None:
            workshop.tell(f"{product.alias}: {text}")

        tell("preparing")
        if not shutil.which("mmdebstrap"):
            raise HostError("image builder", "debian", cause="mmdebstrap is missing", remedy="apt install mmdebstrap")
        workshop.run(
            workplace(_command(product), workshop.directory, _shown(workshop.directory), in_memory=_memory()),
            name="mmdebstrap",
            hear=Listener(tell).hear,
            env={"SOURCE_DATE_EPOCH": str(today), "VARIANTS": " ".join(variants), **host_apt.proxies()},
        )
        meta = workshop.directory / "meta.tar"
        templates = TEMPLATES | (CLOUD_TEMPLATES if product.variant == "cloud" else {})
        with tarfile.open(meta, "w") as file:
            archive = Archive(file, today)
            archive.file("metadata.yaml", metadata_text(product, architecture, today, templates))
            archive.directory("templates")
            for template in sorted({one.template for one in templates.values()}):
                archive.file(f"templates/{template}", _template(template, variants).read_bytes())
        return Files(meta, workshop.directory / "rootfs.tar.zst")


def _command(product: Product) -> list[str]:
    packages = PACKAGES + (CLOUD_PACKAGES if product.variant == "cloud" else ())
    words = ["mmdebstrap", "--verbose", "--mode=unshare", "--variant=apt", "--skip=output/dev", "--format=tar"]
    if product.release == "bookworm" and MERGED_USR.is_dir():
        words.append(f"--hook-directory={MERGED_USR}")
    words += ["--hook-directory=/builder/hooks", f"--include={','.join(packages)}"]
    return [*words, product.release, "/build/rootfs.tar.zst", *host_apt.lines(product.release)]


def _shown(directory: Path) -> dict[Path, str]:
    """What mmdebstrap must see beside the host's programs: our files, and ids for its user namespace."""
    ids = idmap.host_ranges()
    found = {FILES: "/builder"}
    for name, base in (("subuid", ids.host_root), ("subgid", ids.host_root_gid)):
        file = directory / name
        file.write_text(f"root:{base}:{idmap.SMALLEST}\n")
        found[file] = f"/etc/{name}"
    directory.chmod(0o755)
    return found


def _memory() -> int:
    """The bytes of memory to build in: it takes two thirds of the time on a busy disk. 0 where memory is not plenty."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return SPACE if available and int(available[1]) * 1024 >= 2 * SPACE else 0


def _template(name: str, variants: tuple[str, ...]) -> Path:
    return next(path for one in variants if (path := FILES / "templates" / one / name).exists())
