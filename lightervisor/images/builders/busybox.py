"""build:busybox: a small Linux around the host's static busybox; no network needed, the same bytes every time."""

import io
import os
import platform
import tarfile
from pathlib import Path

import yaml

from lightervisor.errors import HostError
from lightervisor.images.builders.builder import Builder, Product, Progress
from lightervisor.kernel import process

DIRECTORIES = (
    "bin dev etc home mnt proc root run sbin sys tmp usr usr/bin usr/sbin usr/share usr/share/udhcpc var var/log"
)
BORN = 1_700_000_000
FILES = {
    "etc/inittab": """\
::sysinit:/etc/rc
::respawn:/sbin/udhcpc -f -S -i eth0
::respawn:/sbin/getty -L console 0 linux
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
""",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
    "etc/hostname": "busybox\n",
    "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    "etc/rc": """\
#!/bin/sh
mount -t tmpfs tmpfs /run 2>/dev/null
ip link set lo up
ip link set eth0 up 2>/dev/null
exit 0
""",
    "usr/share/udhcpc/default.script": """\
#!/bin/sh
case $1 in
deconfig)
    ip addr flush dev $interface
    ip link set $interface up
    ;;
bound | renew)
    ip addr flush dev $interface scope global
    ip addr add $ip/$mask dev $interface
    for gateway in $router; do ip route replace default via $gateway dev $interface; done
    : >/etc/resolv.conf
    [ -z "$domain" ] || echo search $domain >>/etc/resolv.conf
    for server in $dns; do echo nameserver $server >>/etc/resolv.conf; done
    ;;
esac
exit 0
""",
}
EXECUTABLE = ("etc/rc", "usr/share/udhcpc/default.script")


class Busybox(Builder, name="busybox"):
    """One static program as a whole system: init, shell, DHCP client."""

    def products(self) -> list[Product]:
        """The one image."""
        return [Product(alias="busybox", description="Busybox (built on this host)", os="Busybox", release="static")]

    def build(self, product: Product, directory: Path, progress: Progress) -> Path:
        """Pack the archive. Raises HostError when the host has no static busybox."""
        progress("packing busybox")
        program = _program()
        applets = process.run([program, "--list-full"]).decode().split()
        plain = directory / "busybox.tar"
        with tarfile.open(plain, "w") as archive:
            _add(archive, "metadata.yaml", _metadata(product))
            for name in ("rootfs", *(f"rootfs/{one}" for one in DIRECTORIES.split())):
                _add_directory(archive, name)
            _add(archive, "rootfs/bin/busybox", program.read_bytes(), mode=0o755)
            for applet in sorted({*applets, "sbin/init"}):
                if applet != "bin/busybox":
                    _add_link(archive, f"rootfs/{applet}")
            for name, text in FILES.items():
                _add(archive, f"rootfs/{name}", text.encode(), mode=_mode(name))
        process.run(["zstd", "--quiet", "--rm", "-3", "--", plain])
        return directory / "busybox.tar.zst"


def _mode(name: str) -> int:
    return 0o755 if name in EXECUTABLE else 0o640 if name == "etc/shadow" else 0o644


def _program() -> Path:
    for name in ("/bin/busybox", "/usr/bin/busybox"):
        path = Path(name)
        if os.access(path, os.X_OK) and b"/lib64/ld-linux" not in path.read_bytes()[:4096]:
            return path
    raise HostError("image builder", "busybox", cause="the host has no busybox", remedy="apt install busybox-static")


def _metadata(product: Product) -> bytes:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    document = {
        "architecture": machine,
        "creation_date": BORN,
        "properties": {
            "architecture": machine,
            "description": product.description,
            "name": "busybox",
            "os": product.os,
            "release": product.release,
            "variant": product.variant,
        },
    }
    return yaml.safe_dump(document).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), mode, BORN
    archive.addfile(member, io.BytesIO(data))


def _add_directory(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o1777 if name == "rootfs/tmp" else 0o755, BORN
    archive.addfile(member)


def _add_link(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mtime = tarfile.SYMTYPE, "/bin/busybox", BORN
    archive.addfile(member)
