"""When cloud-init is to run again."""

from __future__ import annotations

import pytest

from lightervisor.config.merge import Expanded
from lightervisor.instances.cloud_init import is_to_run_again

NIC = {"type": "nic", "name": "eth0", "network": "br0"}


@pytest.mark.parametrize("family", ["cloud-init", "user"])
@pytest.mark.parametrize("key", ["user-data", "vendor-data", "network-config"])
def test_its_data_counts_in_both_families(family: str, key: str) -> None:
    assert is_to_run_again(Expanded({}, {}), Expanded({f"{family}.{key}": "x"}, {}))
    assert not is_to_run_again(Expanded({f"{family}.{key}": "x"}, {}), Expanded({f"{family}.{key}": "x"}, {}))


def test_names_of_network_cards_count_and_nothing_else_of_devices() -> None:
    before = Expanded({}, {"eth0": NIC})
    assert is_to_run_again(before, Expanded({}, {"eth0": {**NIC, "name": "eth1"}}))
    assert is_to_run_again(before, Expanded({}, {}))
    assert not is_to_run_again(before, Expanded({}, {"eth0": {**NIC, "network": "br1"}}))
    assert not is_to_run_again(before, Expanded({}, {"lan": NIC}))
    assert not is_to_run_again(before, Expanded({"user.meta-data": "x"}, {"eth0": NIC, "d": {"type": "disk"}}))
