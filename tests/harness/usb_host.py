"""A host with USB devices that the test plugs in and pulls out: trees like sysfs and /dev, and a daemon that has them.

What tells the daemon to look is a message of the real kernel, about a device that every machine has.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY

SYS_ENV, DEV_ENV = "LV_TEST_SYS", "LV_TEST_DEV"
TOLD = Path("/sys/class/mem/kmsg/uevent")
NODE = "kmsg"
"""The node of the device that the kernel's messages are about."""
PROGRAM = f"""\
#!{sys.executable}
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.harness.usb_host import main
sys.exit(main())
"""


def main() -> int:
    """The `lxd` program on the host that the environment names."""
    from lightervisor.daemon.main import main as lxd
    from lightervisor.devices.host_nodes import HostNodes

    HostNodes.sys, HostNodes.dev = Path(os.environ[SYS_ENV]), Path(os.environ[DEV_ENV])
    return lxd()


class UsbHost:
    """The trees, in a folder of the test, and the daemon."""

    def __init__(self, folder: Path) -> None:
        self.sys, self.dev = folder / "sys", folder / "dev"
        (self.sys / "bus/usb/devices").mkdir(parents=True)
        self.dev.mkdir()
        program = folder / "lxd"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.daemon = Daemon(program=program, env={SYS_ENV: str(self.sys), DEV_ENV: str(self.dev)})

    def plug(self, number: int, vendor: str, product: str, *nodes: str) -> None:
        """A device comes, with more nodes that hang on it (character devices)."""
        device = self.sys / f"devices/usb1/1-{number}"
        files = {"busnum": "1", "devnum": str(number), "idVendor": vendor, "idProduct": product, "bDeviceClass": "00"}
        _write(device, files)
        self._node(f"bus/usb/001/{number:03d}", 189, number)
        for one in nodes:
            below = device / f"1-{number}:1.0" / one
            _write(below, {"dev": "1:3", "uevent": f"MAJOR=1\nMINOR=3\nDEVNAME={one}"})
            self._node(one, 1, 3)
        (self.sys / f"bus/usb/devices/1-{number}").symlink_to(device)

    def pull(self, number: int) -> None:
        """A device goes, with all its nodes."""
        device = self.sys / f"devices/usb1/1-{number}"
        (self.sys / f"bus/usb/devices/1-{number}").unlink()
        (self.dev / f"bus/usb/001/{number:03d}").unlink()
        for told in device.glob("*/*/uevent"):
            (self.dev / told.parent.name).unlink()
        shutil.rmtree(device)

    @staticmethod
    def tell(action: str) -> None:
        """Let the kernel say that a device has come ("add") or gone ("remove")."""
        TOLD.write_text(action)

    def _node(self, name: str, major: int, minor: int) -> None:
        path = self.dev / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(major, minor))


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
