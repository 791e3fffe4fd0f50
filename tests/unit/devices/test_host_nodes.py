"""Devices that are found in sysfs, in a tree like it; and those that are declared and refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from lightervisor.devices.device import InstanceFacts, Refreshed, check_device, load_device
from lightervisor.devices.gpu import PhysicalGpu
from lightervisor.devices.lifecycle import start_devices
from lightervisor.devices.unix_hotplug import UnixHotplug
from lightervisor.devices.unix_node import UnixNode
from lightervisor.devices.usb import Usb
from lightervisor.errors import Failure, HostError, Invalid

FACTS = InstanceFacts(name="c1")
PCI = "devices/pci0000:00/0000:00:02.0"
USB = "devices/pci0000:00/0000:00:14.0/usb1/1-2"


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A host with a graphics card, a hub, and a serial adapter in the hub."""
    root = tmp_path / "sys"
    files = {
        f"{PCI}/vendor": "0x8086", f"{PCI}/device": "0x3ea0", f"{PCI}/drm/card0/dev": "226:0",
        f"{PCI}/drm/renderD128/dev": "226:128",
        f"{USB}/busnum": "1", f"{USB}/devnum": "7", f"{USB}/idVendor": "0403", f"{USB}/idProduct": "6001",
        f"{USB}/bDeviceClass": "00", f"{USB}/dev": "189:6", f"{USB}/uevent": "DEVNAME=bus/usb/001/007",
        f"{USB}/1-2:1.0/ttyUSB0/tty/ttyUSB0/dev": "188:0",
        f"{USB}/1-2:1.0/ttyUSB0/tty/ttyUSB0/uevent": "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0",
    }  # fmt: skip
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    links = {
        "bus/usb/devices/1-2": USB, "bus/pci/devices/0000:00:02.0": PCI, "class/drm/card0": f"{PCI}/drm/card0",
        f"{PCI}/drm/card0/device": PCI, f"{USB}/subsystem": "bus/usb",
        f"{USB}/1-2:1.0/ttyUSB0/tty/ttyUSB0/subsystem": "class/tty",
    }  # fmt: skip
    for name, target in links.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(root / target)
    return root


def nodes(kind: type[Usb] | type[UnixHotplug] | type[PhysicalGpu], sys: Path, **options: str) -> list[str]:
    device = kind("d", {"type": kind.kind, **options}, FACTS)
    device.sys = sys
    return [str(path) for path in device.nodes()]


def test_usb_devices_are_found_by_vendor_and_product(sys: Path) -> None:
    assert nodes(Usb, sys) == nodes(Usb, sys, vendorid="0403", productid="6001") == ["/dev/bus/usb/001/007"]
    assert nodes(Usb, sys, vendorid="1234") == nodes(Usb, sys, vendorid="0403", productid="6002") == []


def test_hotplug_finds_what_hangs_on_a_device(sys: Path) -> None:
    assert nodes(UnixHotplug, sys, vendorid="0403") == ["/dev/ttyUSB0"]
    assert nodes(UnixHotplug, sys, productid="3ea0") == []


def test_cards_are_found_by_number_address_and_vendor(sys: Path) -> None:
    expected = ["/dev/dri/card0", "/dev/dri/renderD128"]
    for options in ({}, {"id": "0"}, {"pci": "00:02.0"}, {"pci": "0000:00:02.0"}, {"vendorid": "8086"}):
        assert nodes(PhysicalGpu, sys, **options) == expected, options
    for options in ({"id": "1"}, {"pci": "00:03.0"}, {"vendorid": "10de"}):
        assert nodes(PhysicalGpu, sys, **options) == [], options


def test_what_is_required_and_missing_is_told(tmp_path: Path) -> None:
    for kind, options, text in (
        (Usb, {"required": "true"}, "Required USB device not found"),
        (UnixHotplug, {"vendorid": "1234", "required": "yes"}, "Required Unix Hotplug device not found"),
        (PhysicalGpu, {}, "Failed to detect requested GPU device"),
    ):
        device = kind("d", {"type": kind.kind, **options}, FACTS)
        device.sys = tmp_path
        with pytest.raises(Invalid, match=text):
            device.check_host()
    optional = Usb("d", {"type": "usb"}, FACTS)
    optional.sys = tmp_path
    optional.check_host()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": "usb", "vendorid": "zz"}, "Invalid value, must be four lower case hex characters"),
        ({"type": "usb", "mode": "888"}, "Invalid value for an octal file mode"),
        ({"type": "usb", "serial": "x"}, 'Invalid device option "serial"'),
        ({"type": "unix-hotplug"}, "Unix hotplug devices require a vendorid or a productid"),
        ({"type": "gpu", "id": "0", "pci": "00:02.0"}, 'Cannot use "id" when when "pci" is set'),
        ({"type": "gpu", "id": "0", "vendorid": "1234"}, 'Cannot use "vendorid" when when "id" is set'),
        ({"type": "gpu", "pci": "foo"}, 'Invalid value for device option "pci": Invalid PCI address'),
        ({"type": "gpu", "gputype": "mdev", "mdev": "x"}, "Unsupported device type"),
        (
            {"type": "gpu", "gputype": "mig", "mig.ci": "0"},
            'Either "mig.uuid" or both "mig.gi" and "mig.ci" must be set',
        ),
        ({"type": "gpu", "gputype": "mig", "mig.uuid": "zz"}, "Invalid UUID"),
        ({"type": "infiniband"}, "Unsupported device type"),
        ({"type": "infiniband", "nictype": "physical"}, 'Invalid value for device option "parent": Required value'),
        (
            {"type": "infiniband", "nictype": "sriov", "parent": "ib0", "hwaddr": "00:16:3e:00:00:01"},
            "Invalid value, must be either 8 or 20 bytes of hex separated by colons",
        ),
        ({"type": "tpm", "path": "/dev/tpm0"}, 'Invalid value for device option "pathrm": Required value'),
        ({"type": "tpm", "path": "../x", "pathrm": "/dev/tpmrm0"}, "Invalid path"),
    ],
)
def test_options_are_checked_in_lxds_words(options: dict[str, str], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_device("d", options)
    assert text in caught.value.sentence()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": "gpu", "gputype": "mig", "mig.ci": "0", "mig.gi": "0"}, "MIG"),
        ({"type": "infiniband", "nictype": "physical", "parent": "nosuch0"}, 'Parent device "nosuch0" doesn\'t exist'),
        ({"type": "tpm", "path": "/dev/tpm0", "pathrm": "/dev/tpmrm0"}, "TPM"),
    ],
)
def test_what_this_host_or_server_lacks_is_refused_at_the_start(options: dict[str, str], text: str) -> None:
    check_device("d", options)
    with pytest.raises(Failure, match=text):
        start_devices([load_device("d", options, FACTS)])


def test_all_nodes_that_are_found_are_shown_and_taken_back(tmp_path: Path) -> None:
    device = Usb("a.b", {"type": "usb", "mode": "0600"}, InstanceFacts(name="c1", devices_dir=tmp_path / "c1"))
    device.nodes = lambda: [Path("/dev/null"), Path("/dev/zero")]  # pyright: ignore[reportAttributeAccessIssue]
    ((_, start),) = start_devices([device])
    targets = [value.split()[1] for name, value in start.lines if name == "lxc.mount.entry"]
    assert targets == ["dev/null", "dev/zero"]
    assert device.host_sides("unix") == ["dev/null", "dev/zero"]
    device.nodes = list  # pyright: ignore[reportAttributeAccessIssue] # unplugged meanwhile
    device.stop()
    assert not (tmp_path / "c1").exists()


def test_a_disk_that_has_gone_is_still_one(tmp_path: Path) -> None:
    """What it may no longer open is told by kind and numbers, and those of another kind are another device's."""
    told: list[tuple[str, str]] = []
    facts = InstanceFacts(
        name="c1", devices_dir=tmp_path / "c1", set_devices=lambda verb, rule: told.append((verb, rule))
    )
    device = UnixHotplug("d", {"type": "unix-hotplug", "vendorid": "0403"}, facts)
    device.dev = tmp_path / "dev"
    device.dev.mkdir()
    os.mknod(device.dev / "sdz", stat.S_IFBLK | 0o600, os.makedev(7, 77))
    device.nodes = lambda: [device.dev / "sdz"]  # pyright: ignore[reportAttributeAccessIssue]
    start_devices([device])
    (device.dev / "sdz").unlink()
    (gone,) = device._staged()
    assert gone.kind == "unix-block"
    gone._forbid((7, 77))
    assert told == [("deny", "b 7:77 rwm")]


def test_what_fails_takes_nothing_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The guest is told of those that were shown."""

    def refresh(node: UnixNode, _guest: object) -> Refreshed:
        if node.inside == "dev/full":
            raise HostError(node.kind, node.name, cause="no room")
        return Refreshed(is_changed=True)

    monkeypatch.setattr(UnixNode, "refresh", refresh)
    device = Usb("u", {"type": "usb"}, InstanceFacts(name="c1", devices_dir=tmp_path / "c1"))
    device.nodes = lambda: [Path("/dev/full"), Path("/dev/null")]  # pyright: ignore[reportAttributeAccessIssue]
    guest: Any = None
    assert device.refresh(guest) == Refreshed(is_changed=True, nodes=frozenset({"null"}))
    assert "no room" in caplog.text
