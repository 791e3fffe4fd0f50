"""`lxc launch` and `lxc init` before anything is created, and flags of their neighbours."""

import io

import pytest

from tests.unit.cli.conftest import Client

PROFILE = {"name": "default", "config": {}, "devices": {"eth0": {"type": "nic", "network": "lxdbr0"}}}


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-n", "lan"), 'Failed loading network "lan": Not found'),
        (("-s", "big"), 'Failed loading storage pool "big": Not found'),
        (("-d", "gpu,id=1"), 'Cannot override config for device "gpu": Device not found in profile devices'),
    ],
)
def test_what_a_flag_names_has_to_exist(
    client: Client, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    client.server.answers["GET /1.0/profiles/default"] = PROFILE
    assert client.fail("init", "--empty", "c1", *flags) == text
    assert not client.server.sent


def test_info_of_an_instance_has_no_target(client: Client) -> None:
    assert client.fail("info", "c1", "--target", "m1") == "--target cannot be used with instances"
