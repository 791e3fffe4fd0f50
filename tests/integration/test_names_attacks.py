"""Attack 31: the names by which instances are found on their network are given by the daemon, not by guests."""

from __future__ import annotations

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

SCRIPT = "#!/bin/sh\n[ $1 = bound ] && ip address replace $ip/$mask dev $interface && echo $ip >/root/ip\nexit 0\n"


def domain_answer(lxc: Lxc, name: str, asked: str, gateway: str) -> str:
    return lxc("exec", name, "--", "nslookup", "-type=a", asked, gateway).stdout.partition("Name:")[2]


@pytest.mark.parametrize("hardware", ["its own", "made up"])
@pytest.mark.parametrize("wanted", ["other", "_gateway", "localhost", "wpad", "x" * 255])
def test_31_a_guest_gives_itself_no_name(
    daemon: Daemon, lxc: Lxc, image: str, running: str, hardware: str, wanted: str
) -> None:
    """Neither that of an instance that does not run, nor the gateway's, nor one that programs look for."""
    if wanted == "other":
        wanted = f"{running}-b"
        lxc("init", image, wanted).ok()
    config = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]
    gateway = config["ipv4.address"].partition("/")[0]
    eventually(lambda: gateway.rpartition(".")[0] in lxc("list", running, "-c", "4", "-f", "csv").stdout, what="DHCP")
    lxc("file", "push", "--mode=755", "-", f"{running}/root/script", stdin=SCRIPT).ok()
    change = "ip link set eth0 down; ip link set eth0 address 02:00:00:12:34:56; ip link set eth0 up;"
    ask = f"udhcpc -i eth0 -n -q -s /root/script -x hostname:{wanted} -F {wanted[:60]}.lxd"
    lxc("exec", running, "--", "sh", "-c", f"{change if hardware == 'made up' else ''} {ask}")
    taken = lxc("exec", running, "--", "cat", "/root/ip").ok().stdout.strip()
    for asked in (wanted, f"{wanted}.lxd"):
        assert taken not in domain_answer(lxc, running, asked[:63], gateway)
    assert gateway in domain_answer(lxc, running, "_gateway.lxd", gateway)
    if hardware == "its own":
        assert taken in domain_answer(lxc, running, f"{running}.lxd", gateway)
    lxc("exec", running, "--", "sh", "-c", f"ip address flush dev eth0; {ask.replace('-q', '-q -R')}")
