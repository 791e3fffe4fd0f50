"""Our client waits for instances of other servers over HTTPS: the real LXD's, Incus', and ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.peers.conftest import Site

TIMED_OUT = 124


@pytest.mark.parametrize("remote", ["ours", "theirs"])
def test_an_instance_of_a_remote_is_waited_for(lxc: Lxc, ours: Site, theirs: Site, unified: Path, remote: str) -> None:
    {"ours": ours, "theirs": theirs}[remote].add(unified, alias="box")
    launched = lxc("launch", f"{remote}:box", f"{remote}:c1", "--wait=ipv4,tcp:7001", "--timeout=0")
    assert launched.status == TIMED_OUT
    lxc("wait", f"{remote}:c1", "--for=ip").ok()
    lxc("exec", f"{remote}:c1", "--", "httpd", "-p", "7001").ok()
    lxc("wait", f"{remote}:c1", "--for=tcp:7001,running").ok()
    done = lxc("wait", f"{remote}:c1", "--for=tcp:7002", "--timeout=1")
    assert (done.status, "nothing listens at port 7002, but at 7001" in done.stderr) == (TIMED_OUT, True)
    lxc("wait", f"{remote}:c1", "--for=cloud-init").failed("Error: c1 has no cloud-init")
    lxc("stop", "--force", f"{remote}:c1").ok()
    lxc("wait", f"{remote}:c1", "--for=stopped").ok()
