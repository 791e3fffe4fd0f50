"""A Debian with what runs containers inside a container, made once of the host's mirrors and kept in .cache."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lightervisor.images.builders import host_apt
from tests.harness import images, processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY

RELEASE = "bookworm"
# Podman takes runc, Docker's, where there is no crun: that refuses hosts which have cgroups of both versions.
PACKAGES = (
    "systemd-sysv", "dbus", "iproute2", "procps", "kmod", "docker.io", "iptables", "podman", "netavark",
    "python3", "liblxc1", "liblxc-common", "dnsmasq-base", "nftables", "uidmap", "tar", "gzip", "zstd", "xz-utils",
    "bubblewrap", "busybox-static", "acl", "attr", "util-linux",
)  # fmt: skip
EXCLUDED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
FOLDER = REPOSITORY / ".cache" / "nesting"
LONGEST_S = 600
ALIAS = "test-nesting"
METADATA = images.METADATA.replace("test busybox", "Debian that nests").replace("busybox", "debian")


def image() -> tuple[Path, Path]:
    """Metadata and root file system of the image; fails the test with what mmdebstrap said."""
    key = hashlib.sha256(" ".join((*PACKAGES, *EXCLUDED)).encode()).hexdigest()[:16]
    FOLDER.mkdir(parents=True, exist_ok=True)
    rootfs, meta = FOLDER / f"{key}.tar.zst", FOLDER / f"{key}.meta.tar"
    with _alone():
        if not rootfs.exists():
            for old in FOLDER.glob("*.tar*"):
                old.unlink()
            _make(rootfs)
        images.archive_of(meta, {"metadata.yaml": METADATA.encode()})
    return meta, rootfs


@contextmanager
def imported(daemon: Daemon, lxc: Lxc) -> Generator[str, None, None]:
    """The alias of the image in a daemon, for as long as it is needed."""
    meta, rootfs = image()
    lxc("image", "import", meta, rootfs, "--alias", ALIAS, timeout_s=LONGEST_S).ok()
    yield ALIAS
    fingerprint = daemon.request("GET", f"/1.0/images/aliases/{ALIAS}").metadata["target"]
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def done(lxc: Lxc, name: str, script: str) -> str:
    """What a script prints in a container; fails the test with what it said."""
    ran = lxc.run(name, "sh", "-euc", script)
    assert ran.status == 0, ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def _alone() -> Generator[None, None, None]:
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(rootfs: Path) -> None:
    work = FOLDER / "work.tar.zst"
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--mode=root", "--aptopt=Apt::Install-Recommends false"]
    command += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={one}" for one in EXCLUDED)]
    command += [f"--include={','.join(PACKAGES)}", RELEASE, str(work), *host_apt.lines(RELEASE)]
    try:
        processes.run(command, env=host_apt.proxies(), timeout_s=LONGEST_S).ok()
        work.rename(rootfs)
    finally:
        work.unlink(missing_ok=True)


def busybox(path: Path) -> Path:
    """A root file system for the containers inside: the host's static busybox and a directory for its applets."""
    program = Path(shutil.which("busybox") or images.BUSYBOX)
    with tarfile.open(path, "w") as archive:
        for folder in ("bin", "etc", "tmp"):
            images.add_folder(archive, folder)
        images.add_file(archive, "bin/busybox", program.read_bytes(), 0o755)
        for applet in ("sh", "echo", "cat", "id", "sleep", "ls"):
            images.add_link(archive, f"bin/{applet}", "/bin/busybox")
    return path
