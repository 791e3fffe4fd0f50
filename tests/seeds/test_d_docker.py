"""Row D18: Docker in a container, as its users do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import nesting
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_d18_docker_in_a_container(daemon: Daemon, lxc: Lxc, shell: Shell, tmp_path: Path) -> None:
    inner = nesting.busybox(tmp_path / "inner.tar")
    with nesting.imported(daemon, lxc) as debian:
        shell(f"lxc launch {debian} d18").ok()
        try:
            shell("lxc config set d18 security.nesting true && lxc restart --force d18").ok()
            shell(f"lxc file push {inner} d18/root/inner.tar").ok()
            shell("lxc exec d18 -- sh -c 'until docker info >/dev/null 2>&1; do sleep 0.1; done'").ok()
            shell("lxc exec d18 -- docker import /root/inner.tar hello").ok()
            assert (
                shell("lxc exec d18 -- docker run hello echo 'Hello from Docker!'").ok().stdout
                == "Hello from Docker!\n"
            )
        finally:
            shell("lxc delete --force d18").ok()
