"""The host's hardware, read from trees that a test can write."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lightervisor.kernel import resources, resources_devices
from lightervisor.model.resources import ResourcesCPU, ResourcesMemory, ResourcesStorage


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")


def test_threads_are_sorted_into_cores_and_sockets(tmp_path: Path) -> None:
    for thread, (package, core) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        topology = f"sys/devices/system/cpu/cpu{thread}/topology"
        write(tmp_path, {f"{topology}/physical_package_id": str(package), f"{topology}/core_id": str(core)})
    write(
        tmp_path, {"proc/cpuinfo": "processor: 0\nmodel name: Fast\ncpu MHz: 2000.5\n\nprocessor: 3\nmodel name: Slow"}
    )
    found = msgspec.convert(resources.cpu(tmp_path / "sys", tmp_path / "proc"), ResourcesCPU)
    assert found.total == 4
    assert [[len(core.threads) for core in socket.cores] for socket in found.sockets] == [[2, 1], [1]]
    assert [socket.name for socket in found.sockets] == ["Fast", "Slow"]
    assert found.sockets[0].cores[0].frequency == 2000


def test_memory_is_told_in_bytes(tmp_path: Path) -> None:
    meminfo = "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 100 kB\nCached: 300 kB\nHugePages_Total: 2\n"
    write(tmp_path, {"meminfo": meminfo + "HugePages_Free: 1\nHugepagesize: 2048 kB"})
    found = msgspec.convert(resources.memory(tmp_path, tmp_path), ResourcesMemory)
    assert (found.total, found.used) == (1000 << 10, 400 << 10)
    assert (found.hugepages_total, found.hugepages_used) == (4 << 20, 2 << 20)


def test_disks_are_listed_with_their_partitions_and_loops_are_not(tmp_path: Path) -> None:
    block = "class/block"
    write(
        tmp_path,
        {
            f"{block}/sda/size": "2048", f"{block}/sda/dev": "8:0", f"{block}/sda/device/model": "Disk",
            f"{block}/sda/sda1/partition": "1", f"{block}/sda/sda1/size": "1024",
            f"{block}/loop0/size": "8", f"{block}/loop0/device/model": "no disk",
        },
    )  # fmt: skip
    found = msgspec.convert(resources_devices.storage(tmp_path, tmp_path / "id", tmp_path / "path"), ResourcesStorage)
    assert [(disk.id, disk.size, disk.model) for disk in found.disks] == [("sda", 1 << 20, "Disk")]
    assert [(part.id, part.size) for part in found.disks[0].partitions] == [("sda1", 512 << 10)]


def test_a_host_that_tells_nothing_has_nothing(tmp_path: Path) -> None:
    for read in (resources_devices.gpu, resources_devices.network, resources_devices.usb, resources_devices.pci):
        assert read(tmp_path)["total"] == 0
    assert resources.cpu(tmp_path, tmp_path)["total"] == 0
    assert resources.system(tmp_path)["vendor"] == ""
