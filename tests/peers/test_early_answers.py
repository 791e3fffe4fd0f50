"""A backup that is refused before all of it is sent: both clients hear why, over the network, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.crafted import member
from tests.integration.test_backup_attacks import TREE, backup
from tests.peers.conftest import Homes, Site


@pytest.mark.parametrize("client", ["lxc", "stock-lxc"])
def test_a_name_that_is_taken(homes: Homes, ours: Site, client: str, tmp_path: Path) -> None:
    made = ours.daemon.operation("POST", "/1.0/instances", {"name": "evil", "source": {"type": "none"}})
    assert made["status"] == "Success"
    file = tmp_path / "large.tar"
    file.write_bytes(backup(*TREE, member("backup/container/rootfs/large", data=bytes(100 << 20))))
    homes.client(client)("import", "ours:", str(file)).failed("already exists")
    assert ours.daemon.operation("DELETE", "/1.0/instances/evil")["status"] == "Success"
