"""cloud-init in Debian with nothing to go by but the guest API: its source LXD finds and reads /dev/lxd/sock.

The seed that the image's templates would write (NoCloud; see test_debian.py) is left out.
"""

from __future__ import annotations

import json

import pytest
import yaml

from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
USER = "#cloud-config\nwrite_files:\n- path: /etc/written\n  content: {text}\n"
VENDOR = "#cloud-config\nruncmd:\n- echo by vendor-data > /etc/vendored\n"
NETWORK = "version: 2\nethernets:\n  eth0:\n    addresses: [10.99.99.5/24]\n"


@pytest.mark.parametrize("family", ["cloud-init", "user"])
def test_it_reads_the_guest_api(daemon: Daemon, lxc: Lxc, name: str, family: str) -> None:
    lxc("init", "build:debian/12/cloud", name, timeout_s=600).ok()
    for key, text in (("user", USER.format(text="once")), ("vendor", VENDOR)):
        lxc("config", "set", name, f"{family}.{key}-data", "-", stdin=text).ok()
    lxc("config", "set", name, f"{family}.network-config", "-", stdin=NETWORK).ok()
    lxc("config", "set", name, "user.meta-data", "-", stdin="color: red\n").ok()
    metadata = yaml.safe_load(lxc("config", "metadata", "show", name).ok().stdout)
    metadata["templates"] = {path: one for path, one in metadata["templates"].items() if "seed" not in path}
    lxc("config", "metadata", "edit", name, stdin=yaml.safe_dump(metadata)).ok()

    lxc("start", name).ok()
    assert "DataSourceLXD" in until_done(lxc, name)
    assert lxc.run(name, "ls", "/var/lib/cloud/seed").stdout == ""
    assert lxc.run(name, "cat", "/etc/written").stdout == "once"
    assert lxc.run(name, "cat", "/etc/vendored").stdout == "by vendor-data\n"
    assert "10.99.99.5/24" in lxc.run(name, "ip", "-brief", "address", "show", "eth0").stdout
    row = daemon.request("GET", f"/1.0/instances/{name}").metadata
    identity = row["config"]["volatile.cloud-init.instance-id"]
    assert lxc.run(name, "cat", "/var/lib/cloud/data/instance-id").stdout.strip() == identity
    source = json.loads(lxc.run(name, "cat", "/run/cloud-init/instance-data-sensitive.json").stdout)["ds"]
    assert yaml.safe_load(source["meta-data"])["color"] == "red"
    assert source["devices"]["eth0"]["hwaddr"] == row["config"]["volatile.eth0.hwaddr"]
    assert source["config"][f"{family}.vendor-data"] == VENDOR

    lxc("restart", name).ok()
    lxc.run(name, "rm", "/etc/written")
    until_done(lxc, name)
    assert lxc.run(name, "test", "-e", "/etc/written").status == 1, "it ran again although nothing has changed"

    lxc("config", "set", name, f"{family}.user-data", "-", stdin=USER.format(text="twice")).ok()
    lxc("restart", name).ok()
    until_done(lxc, name)
    assert lxc.run(name, "cat", "/etc/written").stdout == "twice"
    discard(daemon, name)


def until_done(lxc: Lxc, name: str) -> str:
    """Wait for cloud-init's end in this boot; what it says."""
    eventually(lambda: lxc.run(name, "test", "-d", "/run/cloud-init").status == 0, what="cloud-init to begin")
    said = lxc.run(name, "cloud-init", "status", "--wait", "--long").stdout
    assert "status: done" in said
    return said
