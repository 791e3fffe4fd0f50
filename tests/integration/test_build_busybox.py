"""build:busybox as its users meet it: made here, booted, on the network, stopped by its own init."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

NAME = "bb"


@pytest.fixture(scope="module")
def launched(daemon: Daemon, module_lxc: Lxc) -> Iterator[str]:
    """A running instance of the image."""
    module_lxc("launch", "build:busybox", NAME).ok()
    yield NAME
    module_lxc("delete", "--force", NAME).ok()
    for image in daemon.request("GET", "/1.0/images?recursion=1").metadata:
        if image["cached"]:
            daemon.operation("DELETE", f"/1.0/images/{image['fingerprint']}")


def addresses(daemon: Daemon, family: str) -> list[str]:
    card = (daemon.request("GET", f"/1.0/instances/{NAME}/state").metadata["network"] or {}).get("eth0", {})
    return [one["address"] for one in card.get("addresses", []) if (one["family"], one["scope"]) == (family, "global")]


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_it_has_an_address_of_the_bridge(daemon: Daemon, launched: str, family: str) -> None:
    found = eventually(lambda: addresses(daemon, family), what=f"an address ({family})")
    config = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]
    start = {"inet": config["ipv4.address"].rpartition(".")[0], "inet6": config["ipv6.address"].partition("::")[0]}
    assert found[0].startswith(start[family])


def test_its_name_is_known_on_the_bridge(daemon: Daemon, module_lxc: Lxc, launched: str) -> None:
    address = eventually(lambda: addresses(daemon, "inet"), what="an address")[0]
    answer = module_lxc("exec", launched, "--", "nslookup", f"{launched}.lxd").ok().stdout
    assert f"Address: {address}" in answer


def test_it_stops_when_it_is_asked(module_lxc: Lxc, launched: str) -> None:
    module_lxc("stop", launched, "--timeout", "30").ok()  # which does not force it
    module_lxc("start", launched).ok()


def test_it_can_restart_itself(daemon: Daemon, module_lxc: Lxc, launched: str) -> None:
    pid = daemon.request("GET", f"/1.0/instances/{launched}/state").metadata["pid"]
    module_lxc("exec", launched, "--", "reboot")

    def another() -> bool:
        now = daemon.request("GET", f"/1.0/instances/{launched}/state").metadata
        return now["status"] == "Running" and now["pid"] not in (0, pid)

    eventually(another, what="another init")
    assert eventually(lambda: addresses(daemon, "inet"), what="an address after the restart")
