"""These tests run in the virtual machine of `make test-vm` alone: LIGHTERVISOR_VM says so, and which part it is."""

from __future__ import annotations

import os
from pathlib import Path

collect_ignore_glob = [] if os.environ.get("LIGHTERVISOR_VM") else ["*"]
PART = os.environ.get("LIGHTERVISOR_VM", "")
if PART == "first":
    collect_ignore_glob.append("reboot/*")
CGROUP = Path("/sys/fs/cgroup")
