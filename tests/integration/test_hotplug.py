"""Devices of the host that come and go while containers run: usb, unix-hotplug, unix-char and unix-block."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import home, watched
from tests.harness import images
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.processes import eventually
from tests.harness.usb_host import NODE, TOLD, UsbHost

LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81
HEAR = """\
import socket
heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
heard.bind((0, 1))
heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
print("ready", flush=True)
while True:
    message, more, _, sender = heard.recvmsg(8192, 256)
    uid = int.from_bytes(more[0][2][4:8], "little")
    print(sender[0], uid, *message.decode().split(chr(0)), flush=True)
"""

pytestmark = pytest.mark.skipif(not TOLD.exists(), reason="this kernel has no such device")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsbHost]:
    """A daemon on a host with USB."""
    host = UsbHost(tmp_path_factory.mktemp("usb"))
    for _ in watched(lambda daemon: daemon.start().initialise(), host.daemon):
        data = images.unified(tmp_path_factory.mktemp("image") / "busybox.tar.gz").read_bytes()
        made = host.daemon.operation("POST", "/1.0/images", data)["metadata"]["fingerprint"]
        host.daemon.request("POST", "/1.0/images/aliases", {"name": "box", "target": made})
        yield host


@pytest.fixture
def usb(host: UsbHost) -> Iterator[UsbHost]:
    """The same, without a device before and after."""
    yield host
    for device in list((host.sys / "bus/usb/devices").iterdir()):
        host.pull(int(device.name.partition("-")[2]))
    host.tell("change")


@pytest.fixture
def here(host: UsbHost, tmp_path: Path) -> Lxc:
    """Our client of that daemon."""
    return Lxc(OURS, host.daemon.env, home(tmp_path / "lxc"))


@pytest.fixture
def box(host: UsbHost, here: Lxc) -> Iterator[str]:
    """A running container."""
    here("launch", "box", "c1").ok()
    yield "c1"
    if host.daemon.process is None:
        host.daemon.start()
    here("delete", "--force", "c1").ok()


def shown(lxc: Lxc, path: str, name: str = "c1") -> str:
    """What is at a path inside; nothing when there is nothing."""
    done = lxc("exec", name, "--", "stat", "-c", "%F %t:%T %u:%g %a", path)
    return done.stdout.strip() if done.status == 0 else ""


def comes(lxc: Lxc, path: str, name: str = "c1") -> str:
    return eventually(lambda: shown(lxc, path, name), what=f"{path} to come")


def goes(lxc: Lxc, path: str, name: str = "c1") -> None:
    eventually(lambda: not shown(lxc, path, name), what=f"{path} to go")


def test_usb_devices_come_and_go(usb: UsbHost, here: Lxc, box: str) -> None:
    here("config", "device", "add", box, "serial", "usb", "vendorid=0403", "uid=7", "gid=8", "mode=0640").ok()
    usb.plug(5, "1111", "2222")
    usb.plug(6, "0403", "6001")
    usb.tell("add")
    assert comes(here, "/dev/bus/usb/001/006") == "character special file bd:6 7:8 640"
    assert shown(here, "/dev/bus/usb/001/005") == "", "of another vendor"
    usb.plug(7, "0403", "6002")
    usb.tell("add")
    comes(here, "/dev/bus/usb/001/007")
    usb.pull(6)
    usb.tell("remove")
    goes(here, "/dev/bus/usb/001/006")
    assert shown(here, "/dev/bus/usb/001/007"), "the other one stays"
    here("config", "device", "remove", box, "serial").ok()
    assert shown(here, "/dev/bus/usb/001/007") == ""
    assert not list((usb.daemon.state / "devices").glob("*/unix.*"))


def test_what_hangs_on_a_device_comes_and_goes_and_is_told(usb: UsbHost, here: Lxc, box: str) -> None:
    here("config", "device", "add", box, "port", "unix-hotplug", "vendorid=0403").ok()
    pid = usb.daemon.request("GET", f"/1.0/instances/{box}/state").metadata["pid"]
    root = int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])
    words = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", sys.executable, "-c", HEAR]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout is not None
        try:
            assert inside.stdout.readline() == "ready\n"
            usb.plug(6, "0403", "6001", NODE)
            usb.tell("add")
            heard = inside.stdout.readline().split()
            assert heard[:3] == ["0", str(root), "add@/devices/virtual/mem/kmsg"], "the kernel's, from root inside"
            assert {"ACTION=add", "SUBSYSTEM=mem", f"DEVNAME={NODE}"} < set(heard)
            assert sum(word.startswith("SEQNUM=") for word in heard) == 1
            assert shown(here, f"/dev/{NODE}").startswith("character special file 1:3"), "it is there when it is told"
            usb.pull(6)
            usb.tell("remove")
            assert inside.stdout.readline().split()[2] == "remove@/devices/virtual/mem/kmsg"
            assert shown(here, f"/dev/{NODE}") == ""
        finally:
            inside.kill()


def test_a_reboot_inside_has_the_devices_of_now(usb: UsbHost, here: Lxc, box: str) -> None:
    here("config", "device", "add", box, "port", "unix-hotplug", "vendorid=0403").ok()
    here("restart", "--force", box).ok()
    usb.plug(6, "0403", "6001", "ttyOLD")
    usb.tell("add")
    comes(here, "/dev/ttyOLD")
    before = usb.daemon.request("GET", f"/1.0/instances/{box}/state").metadata["pid"]
    here("exec", box, "--", "reboot", "-f")
    eventually(
        lambda: usb.daemon.request("GET", f"/1.0/instances/{box}/state").metadata["pid"] not in (0, -1, before),
        what="the container to come back",
    )
    comes(here, "/dev/ttyOLD")


def test_what_happened_while_no_daemon_ran_is_made_up_for(usb: UsbHost, here: Lxc, box: str) -> None:
    here("config", "device", "add", box, "port", "unix-hotplug", "vendorid=0403").ok()
    usb.plug(6, "0403", "6001", "ttyGONE")
    usb.tell("add")
    comes(here, "/dev/ttyGONE")
    usb.daemon.kill()
    usb.pull(6)
    usb.plug(8, "0403", "6001", "ttyNEW")
    usb.daemon.start()
    comes(here, "/dev/ttyNEW")
    goes(here, "/dev/ttyGONE")


def test_a_profiles_device_reaches_all_its_users(usb: UsbHost, here: Lxc, box: str) -> None:
    here("profile", "create", "serial").ok()
    here("profile", "device", "add", "serial", "port", "unix-hotplug", "productid=6001").ok()
    here("launch", "box", "c2", "--profile", "default", "--profile", "serial").ok()
    here("profile", "add", box, "serial").ok()
    usb.plug(6, "0403", "6001", "ttyP")
    usb.tell("add")
    for name in (box, "c2"):
        comes(here, "/dev/ttyP", name)
    here("profile", "remove", box, "serial").ok()
    assert shown(here, "/dev/ttyP") == ""
    here("delete", "--force", "c2").ok()
    here("profile", "delete", "serial").ok()


def test_after_a_storm_what_is_shown_is_what_is_there(usb: UsbHost, here: Lxc, box: str) -> None:
    here("config", "device", "add", box, "all", "usb", "vendorid=0403").ok()
    for round in range(30):
        usb.plug(10 + round, "0403", "6001")
        usb.tell("add")
        if round % 3:
            usb.pull(10 + round)
            usb.tell("remove")
    expected = [f"{10 + round:03d}" for round in range(0, 30, 3)]
    listed = ["exec", box, "--", "ls", "/dev/bus/usb/001"]
    eventually(lambda: here(*listed).stdout.split() == expected, what="the devices that are there")


@pytest.mark.parametrize("privileged", ["true", "false"])
def test_it_can_be_opened_as_long_as_it_is_there(usb: UsbHost, here: Lxc, privileged: str) -> None:
    here("launch", "box", "c3", "--config", f"security.privileged={privileged}").ok()
    here("config", "device", "add", "c3", "port", "unix-hotplug", "vendorid=0403", "mode=0666").ok()
    usb.plug(6, "0403", "6001", "ttyX")
    usb.tell("add")
    comes(here, "/dev/ttyX", "c3")
    here("exec", "c3", "--", "sh", "-c", "echo gone >/dev/ttyX").ok()
    here("delete", "--force", "c3").ok()


def test_a_required_one_that_goes_does_not_stop_the_container(usb: UsbHost, here: Lxc, box: str) -> None:
    add = ["config", "device", "add", box, "must", "usb", "vendorid=0403", "required=true"]
    here(*add).failed("Required USB device not found")
    usb.plug(6, "0403", "6001")
    here(*add).ok()
    usb.pull(6)
    usb.tell("remove")
    goes(here, "/dev/bus/usb/001/006")
    here("exec", box, "--", "true").ok()


# By path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where nodes come and go; the directory is not there yet."""
    return tmp_path / "nodes/deep"


def mknod(path: Path, minor: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, minor))


def test_a_path_is_followed_when_it_need_not_be_there(here: Lxc, box: str, place: Path) -> None:
    node = place / "node"
    here("config", "device", "add", box, "n", "unix-char", f"source={node}", "path=/dev/n", "required=false").ok()
    assert shown(here, "/dev/n") == ""
    mknod(node, 3)
    assert comes(here, "/dev/n").startswith("character special file 1:3")
    node.unlink()
    goes(here, "/dev/n")
    other = place / "other"
    mknod(other, 5)
    node.symlink_to(other)
    assert comes(here, "/dev/n").startswith("character special file 1:5"), "by a link, as udev makes them"
    here("restart", "--force", box).ok()
    assert shown(here, "/dev/n").startswith("character special file 1:5")
    node.unlink()
    goes(here, "/dev/n")
    mknod(node, 7)
    assert comes(here, "/dev/n").startswith("character special file 1:7"), "followed after a restart, too"
    here("stop", "--force", box).ok()
    node.unlink()
    here("start", box).ok()
    assert shown(here, "/dev/n") == ""


def test_what_is_not_of_the_kind_is_not_shown(here: Lxc, box: str, place: Path) -> None:
    node = place / "node"
    here("config", "device", "add", box, "n", "unix-block", f"source={node}", "path=/dev/n", "required=false").ok()
    here("config", "device", "add", box, "m", "unix-char", f"source={node}", "path=/dev/m", "required=false").ok()
    mknod(node, 3)
    comes(here, "/dev/m")
    assert shown(here, "/dev/n") == ""


def test_a_disk_of_the_kernels_comes_and_goes(here: Lxc, box: str) -> None:
    number = 171
    disk = Path(f"/dev/loop{number}")
    options = [f"source={disk}", "path=/dev/disk", "required=false"]
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        here("config", "device", "add", box, "disk", "unix-block", *options).ok()
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
        assert comes(here, "/dev/disk").startswith("block special file 7:ab")
    finally:
        fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
        os.close(control)
    goes(here, "/dev/disk")
