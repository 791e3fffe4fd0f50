"""`lxc info --resources`; the sample report was printed by the real client from the same answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightervisor.cli import info_resources

SAMPLES = Path(__file__).with_name("samples")
RESOURCES: dict[str, Any] = json.loads((SAMPLES / "resources.json").read_text())


def test_everything_a_server_knows_of_its_hardware_is_reported() -> None:
    assert info_resources.report(RESOURCES) == (SAMPLES / "resources.txt").read_text()


def test_one_of_each_is_not_numbered() -> None:
    socket, disk = RESOURCES["cpu"]["sockets"][0], RESOURCES["storage"]["disks"][1]
    report = info_resources.report(
        {
            "cpu": {"architecture": "x86_64", "sockets": [{**socket, "frequency": 0}]},
            "memory": {"total": 10, "used": 5, "nodes": [{"numa_node": 0, "total": 10, "used": 5}]},
            "gpu": {"cards": None},
            "storage": {"disks": [disk]},
        }
    )
    assert report.startswith("CPU (x86_64):\n  Vendor: Intel\n  Name: Xeon\n")
    assert "\n\nMemory:\n  Free: 5B\n  Used: 5B\n  Total: 10B\n\nDisk:\n  NUMA node: 0\n  ID: nvme0n1\n" in report
    assert "GPU" not in report
