"""What counts as this host."""

from __future__ import annotations

import pytest

from lightervisor.client.websockets import is_loopback


@pytest.mark.parametrize(
    ("address", "is_here"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False), ("fe80::1", False), ("", False)],
)
def test_only_the_loopback_interface_is_this_host(address: str, is_here: bool) -> None:
    assert is_loopback(address) is is_here
