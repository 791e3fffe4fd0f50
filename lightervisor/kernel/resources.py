"""The host's hardware as sysfs and procfs tell it, in the shape of LXD's API.

Source: Documentation/ABI/*/sysfs-devices-system-cpu, proc(5), and LXD, GET /1.0/resources. What the kernel does
not tell (virtual machines, containers) is left out or 0; nothing here fails because a file is missing.
"""

import os
from pathlib import Path

from lightervisor.kernel import cpuset
from lightervisor.kernel.sysfs import PROC, SYS, Node, entries, known, number, text


def cpu(sys: Path = SYS, proc: Path = PROC) -> Node:
    """Sockets, cores and threads; frequencies in MHz, caches in bytes."""
    root = sys / "devices/system/cpu"
    isolated, info = cpuset.parse(text(root / "isolated")), _cpuinfo(proc)
    sockets: dict[int, Node] = {}
    directories = sorted(root.glob("cpu[0-9]*"), key=lambda path: int(path.name[3:]))
    for directory in directories:
        thread = int(directory.name[3:])
        package = max(0, number(directory / "topology/physical_package_id"))
        if package not in sockets:
            sockets[package] = _socket(package, directory, info.get(thread, {}))
        threads: list[Node] = _core(sockets[package]["cores"], directory, info.get(thread, {}))["threads"]
        threads.append(
            {
                "id": thread,
                "numa_node": _numa_node(directory),
                "thread": len(threads),
                "online": number(directory / "online", 1) == 1,
                "isolated": thread in isolated,
            }
        )
    for socket in sockets.values():
        speeds: list[int] = [core["frequency"] for core in socket["cores"] if "frequency" in core]
        if speeds:
            socket["frequency"] = sum(speeds) // len(speeds)
    return {"architecture": os.uname().machine, "sockets": list(sockets.values()), "total": len(directories)}


def _core(cores: list[Node], directory: Path, info: dict[str, str]) -> Node:
    """The core that a thread belongs to, added when it is the first."""
    topology = directory / "topology"
    identity, die = number(topology / "core_id"), max(0, number(topology / "die_id"))
    for core in cores:
        if (core["core"], core["die"]) == (identity, die):
            return core
    megahertz = number(directory / "cpufreq/scaling_cur_freq") // 1000 or _megahertz(info)
    added: Node = {"core": identity, "die": die, "threads": [], **known(frequency=megahertz or None)}
    cores.append(added)
    return added


def _socket(identity: int, directory: Path, info: dict[str, str]) -> Node:
    least, most = (number(directory / f"cpufreq/cpuinfo_{which}_freq") // 1000 for which in ("min", "max"))
    return {
        "socket": identity,
        "cores": [],
        "cache": [_cache(index) for index in entries(directory / "cache") if index.name.startswith("index")],
        **known(
            name=info.get("model name"),
            vendor=info.get("vendor_id"),
            frequency_minimum=least or None,
            frequency_turbo=most or None,
        ),
    }


def _cache(index: Path) -> Node:
    size = text(index / "size")
    factor = {"K": 1 << 10, "M": 1 << 20}.get(size[-1:], 1)
    digits = size.rstrip("KM")
    return {
        "level": number(index / "level"),
        "type": text(index / "type"),
        "size": int(digits) * factor if digits.isdecimal() else 0,
    }


def _numa_node(directory: Path) -> int:
    return next((int(path.name[4:]) for path in directory.glob("node[0-9]*")), 0)


def _megahertz(info: dict[str, str]) -> int:
    try:
        return int(float(info.get("cpu MHz", "0")))
    except ValueError:
        return 0


def _cpuinfo(proc: Path) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text(proc / "cpuinfo").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "processor" and value.isdecimal():
            current = found.setdefault(int(value), {})
        elif name:
            current[name] = value
    return found


def _meminfo(content: str) -> dict[str, int]:
    """The numbers of a meminfo file; those in kB as bytes."""
    found: dict[str, int] = {}
    for line in content.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            found[name.split()[-1]] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def memory(sys: Path = SYS, proc: Path = PROC) -> Node:
    """Memory and huge pages in bytes, of the host and of each node."""
    host = _meminfo(text(proc / "meminfo"))
    page = host.get("Hugepagesize", 0)
    nodes = [
        {"numa_node": int(path.name[4:]), **_amounts(_meminfo(text(path / "meminfo")), page)}
        for path in sorted((sys / "devices/system/node").glob("node[0-9]*"), key=lambda path: int(path.name[4:]))
    ]
    return {"nodes": nodes, "hugepages_size": page, **_amounts(host, page)}


def _amounts(read: dict[str, int], page: int) -> Node:
    pages, free_pages = read.get("HugePages_Total", 0), read.get("HugePages_Free", 0)
    free = read.get("MemFree", 0) + read.get("Cached", read.get("FilePages", 0)) + read.get("Buffers", 0)
    total = read.get("MemTotal", 0)
    return {
        "hugepages_total": pages * page,
        "hugepages_used": (pages - free_pages) * page,
        "used": max(0, total - free),
        "total": total,
    }


def system(sys: Path = SYS) -> Node:
    """Maker, product, firmware, chassis and board, as DMI has them."""
    dmi = sys / "class/dmi/id"

    def part(prefix: str, **names: str) -> dict[str, str]:
        return {name: text(dmi / f"{prefix}_{file}") for name, file in names.items()}

    return {
        **part("product", uuid="uuid", product="name", family="family", version="version", sku="sku", serial="serial"),
        "vendor": text(dmi / "sys_vendor"),
        "type": _machine_type(sys, text(dmi / "sys_vendor")),
        "firmware": part("bios", vendor="vendor", date="date", version="version"),
        "chassis": {
            **part("chassis", vendor="vendor", serial="serial", version="version"),
            "type": CHASSIS.get(number(dmi / "chassis_type"), ""),
        },
        "motherboard": part("board", vendor="vendor", product="name", serial="serial", version="version"),
    }


# Source: SMBIOS reference specification, table 17.
CHASSIS = {
    1: "Other", 2: "Unknown", 3: "Desktop", 4: "Low Profile Desktop", 5: "Pizza Box", 6: "Mini Tower", 7: "Tower",
    8: "Portable", 9: "Laptop", 10: "Notebook", 11: "Hand Held", 13: "All in One", 17: "Main Server Chassis",
    23: "Rack Mount Chassis", 28: "Blade", 29: "Blade Enclosure", 30: "Tablet", 31: "Convertible", 35: "Mini PC",
}  # fmt: skip
MACHINES = ("QEMU", "innotek", "VMware", "Xen", "Amazon EC2", "Google", "Microsoft Corporation", "OpenStack")


def _machine_type(sys: Path, vendor: str) -> str:
    if Path("/run/systemd/container").exists():
        return "container"
    if (sys / "hypervisor/type").exists() or any(vendor.startswith(maker) for maker in MACHINES):
        return "virtual-machine"
    return "physical" if vendor else "unknown"
