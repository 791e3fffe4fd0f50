"""The host's devices as sysfs tells them, in the shape of LXD's API: graphics, network, disks, USB and PCI.

Source: Documentation/ABI/*/sysfs-{bus-pci,bus-usb,class-net,block}, pci.ids(5), and LXD, GET /1.0/resources.
"""

import os
from functools import lru_cache
from pathlib import Path

from lightervisor.kernel.sysfs import SYS, Node, entries, known, link_name, number, text

SECTOR = 512  # what the kernel counts block devices in, whatever their own block size
PCI_IDS = (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids"))
USB_IDS = (Path("/usr/share/misc/usb.ids"), Path("/var/lib/usbutils/usb.ids"), Path("/usr/share/hwdata/usb.ids"))
VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "fd", "sr", "nbd", "rbd", "zd")
ETHERNET = 1  # ARPHRD_ETHER
INFINIBAND = 32  # ARPHRD_INFINIBAND


@lru_cache(maxsize=4)
def _names(files: tuple[Path, ...]) -> dict[tuple[str, str], str]:
    """Names of vendors, by (vendor, ""), and of their products, by (vendor, product)."""
    found: dict[tuple[str, str], str] = {}
    vendor = ""
    content = next((content for path in files if (content := text(path))), "")
    for line in content.splitlines():
        if not line or line.startswith(("#", "\t\t")):
            continue
        identity, _, name = line.strip().partition("  ")
        if line.startswith("\t"):
            found[vendor, identity] = name
        elif len(identity) == 4:
            vendor = identity
            found[vendor, ""] = name
        else:
            break  # classes follow
    return found


def _pci_identity(device: Path) -> dict[str, str]:
    vendor, product = (text(device / name).removeprefix("0x") for name in ("vendor", "device"))
    names = _names(PCI_IDS)
    return {
        "vendor": names.get((vendor, ""), ""),
        "vendor_id": vendor,
        "product": names.get((vendor, product), ""),
        "product_id": product,
    }


def _numa(device: Path) -> int:
    return max(0, number(device / "numa_node"))


def _driver(device: Path) -> dict[str, str]:
    """The driver of a device, with its version: its own, else the kernel's."""
    name = link_name(device / "driver")
    if not name:
        return {}
    version = text(device / "driver/module/version") or os.uname().release
    return {"driver": name, "driver_version": version}


def _pci_address(device: Path) -> str:
    """The PCI address of a device or of what it hangs on; nothing for what is on no such bus."""
    try:
        parts = device.resolve().parts
    except OSError:
        return ""
    return next((part for part in reversed(parts) if part.count(":") == 2 and "." in part), "")


def pci(sys: Path = SYS) -> Node:
    """All PCI devices."""
    found: list[Node] = [
        {
            "driver": "",
            "driver_version": "",
            **_driver(device),
            "numa_node": _numa(device),
            "pci_address": device.name,
            **_pci_identity(device),
            "iommu_group": int(group) if (group := link_name(device / "iommu_group")).isdecimal() else 0,
            "vpd": {},
        }
        for device in entries(sys / "bus/pci/devices")
    ]
    return {"devices": found, "total": len(found)}


def usb(sys: Path = SYS) -> Node:
    """USB devices, hubs left out."""
    found = [
        _usb_device(device)
        for device in entries(sys / "bus/usb/devices")
        if (device / "busnum").exists() and text(device / "bDeviceClass") != "09"
    ]
    return {"devices": found, "total": len(found)}


def _usb_device(device: Path) -> Node:
    vendor, product = text(device / "idVendor"), text(device / "idProduct")
    names = _names(USB_IDS)
    try:
        speed = float(text(device / "speed", "0"))
    except ValueError:
        speed = 0.0
    return {
        "bus_address": number(device / "busnum"),
        "device_address": number(device / "devnum"),
        "interfaces": [
            {
                "class": text(part / "interface"),
                "class_id": number(part / "bInterfaceClass", base=16),
                "driver": "",
                "driver_version": "",
                **_driver(part),
                "number": number(part / "bInterfaceNumber", base=16),
                "subclass": "",
                "subclass_id": number(part / "bInterfaceSubClass", base=16),
            }
            for part in entries(device)
            if (part / "bInterfaceClass").exists()
        ],
        "vendor": text(device / "manufacturer") or names.get((vendor, ""), ""),
        "vendor_id": vendor,
        "product": text(device / "product") or names.get((vendor, product), ""),
        "product_id": product,
        "speed": speed,
    }


def gpu(sys: Path = SYS) -> Node:
    """Graphics cards."""
    cards: list[Node] = []
    for card in entries(sys / "class/drm"):
        if not card.name.removeprefix("card").isdecimal():
            continue
        device = card / "device"
        address = _pci_address(device)
        cards.append(
            {
                **_driver(device),
                "drm": _drm(card),
                "numa_node": _numa(device),
                **known(pci_address=address, **(_pci_identity(device) if address else {})),
            }
        )
    return {"cards": cards, "total": len(cards)}


def _drm(card: Path) -> Node:
    told: Node = {"id": int(card.name[4:]), "card_name": card.name, "card_device": text(card / "dev")}
    for node in entries(card / "device/drm"):
        for kind, field in (("controlD", "control"), ("renderD", "render")):
            if node.name.startswith(kind):
                told |= {f"{field}_name": node.name, f"{field}_device": text(node / "dev")}
    return told


def network(sys: Path = SYS) -> Node:
    """Network cards, each with its ports; interfaces without hardware are left out."""
    cards: dict[str, Node] = {}
    for interface in entries(sys / "class/net"):
        device = interface / "device"
        if number(interface / "type") not in (ETHERNET, INFINIBAND) or not device.exists():
            continue
        key = str(device.resolve())
        if key not in cards:
            address = _pci_address(device)
            cards[key] = {
                **_driver(device),
                "ports": [],
                "numa_node": _numa(device),
                **known(pci_address=address, **(_pci_identity(device) if (device / "vendor").exists() else {})),
            }
        cards[key]["ports"].append(_port(interface))
    return {"cards": list(cards.values()), "total": len(cards)}


def _port(interface: Path) -> Node:
    speed = number(interface / "speed")
    is_up = number(interface / "carrier") == 1
    return {
        "id": interface.name,
        "port": number(interface / "dev_port"),
        "protocol": "infiniband" if number(interface / "type") == INFINIBAND else "ethernet",
        "auto_negotiation": False,
        "link_detected": is_up,
        **known(
            address=text(interface / "address"),
            link_speed=speed if is_up and speed > 0 else None,
            link_duplex=text(interface / "duplex") if is_up else None,
        ),
    }


def storage(sys: Path = SYS, by_id: Path = Path("/dev/disk/by-id"), by_path: Path = Path("/dev/disk/by-path")) -> Node:
    """Disks and their partitions; sizes in bytes. Devices made of others (loop, dm, md) are left out."""
    identities, places = _links(by_id), _links(by_path)
    found: list[Node] = []
    for disk in entries(sys / "class/block"):
        if (disk / "partition").exists() or disk.name.startswith(VIRTUAL_DISKS) or not (disk / "device").exists():
            continue
        found.append(_disk(disk, identities.get(disk.name, ""), places.get(disk.name, "")))
    return {"disks": found, "total": len(found)}


def _links(directory: Path) -> dict[str, str]:
    """Which name udev's links give to a device."""
    return {link_name(link): link.name for link in reversed(entries(directory))}


def _disk(disk: Path, identity: str, place: str) -> Node:
    device = disk / "device"
    is_rotating = number(disk / "queue/rotational") == 1
    return {
        "id": disk.name,
        "device": text(disk / "dev"),
        "read_only": number(disk / "ro") == 1,
        "size": number(disk / "size") * SECTOR,
        "removable": number(disk / "removable") == 1,
        "numa_node": _numa(device),
        "block_size": number(disk / "queue/physical_block_size"),
        "rpm": 1 if is_rotating else 0,  # the kernel tells no more than that it rotates
        "device_id": identity,
        "partitions": [_partition(part) for part in entries(disk) if (part / "partition").exists()],
        **known(
            model=text(device / "model"),
            type=_bus(disk, device),
            wwn=text(disk / "wwid") or text(device / "wwid"),
            device_path=place,
            firmware_version=text(device / "rev") or text(device / "firmware_rev"),
            serial=text(device / "serial") or text(disk / "serial"),
            pci_address=_pci_address(device),
        ),
    }


def _bus(disk: Path, device: Path) -> str:
    if disk.name.startswith("nvme"):
        return "nvme"
    try:
        path = str(device.resolve())
    except OSError:
        return ""
    for part, name in (("/usb", "usb"), ("/ata", "sata"), ("/virtio", "virtio"), ("/mmc", "mmc")):
        if part in path:
            return name
    return link_name(device / "subsystem")


def _partition(part: Path) -> Node:
    return {
        "id": part.name,
        "device": text(part / "dev"),
        "read_only": number(part / "ro") == 1,
        "size": number(part / "size") * SECTOR,
        "partition": number(part / "partition"),
    }
