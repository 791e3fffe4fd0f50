"""This very system in an instance of its own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.nesting import done
from tests.harness.processes import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONGEST_S = 300

# Its container has no systemd, which on hosts that keep cpu and cpuacct apart (cgroup v1) leaves
# neither of them to what is inside.
SET_UP = r"""
ip link set lo up
mkdir -p /run/lock /root/conf
echo 'default-remote: local' >/root/conf/config.yml
count=$(awk '{ if ($1 + $3 > end) end = $1 + $3 } END { printf "%d", end - 1000000 }' /proc/self/uid_map)
for file in /etc/subuid /etc/subgid; do echo "root:1000000:$count" >$file; done
if [ "$(wc -l </proc/self/cgroup)" = 1 ]; then
    mount -t cgroup2 none /sys/fs/cgroup
else
    mount -t tmpfs none /sys/fs/cgroup
    while IFS=: read -r _ what _; do
        name=${what#name=}
        mkdir "/sys/fs/cgroup/${name:=unified}"
        case $what in
        "") mount -t cgroup2 none /sys/fs/cgroup/unified ;;
        name=*) mount -t cgroup -o "none,$what" none "/sys/fs/cgroup/$name" ;;
        *) mount -t cgroup -o "$what" none "/sys/fs/cgroup/$name" ;;
        esac
    done </proc/self/cgroup
fi
setsid lxd --group root >/root/lxd.log 2>&1 </dev/null &
lxd waitready --timeout 60
lxd init --auto
"""


@pytest.fixture(scope="module")
def host(daemon: Daemon, module_lxc: Lxc, nesting_image: str, nesting_pool: str) -> Iterator[str]:
    """A container in which this system runs and is set up."""
    name = f"host-{secrets.token_hex(2)}"
    config = ["security.nesting=true", "raw.lxc=lxc.init.cmd = /bin/sleep infinity", "environment.LXD_CONF=/root/conf"]
    config.append(f"environment.PATH={REPOSITORY}/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    words = [word for one in config for word in ("-c", one)]
    module_lxc("init", nesting_image, name, "-s", nesting_pool, *words, timeout_s=LONGEST_S).ok()
    try:
        shown = {"ours": str(REPOSITORY), "python": sys.base_prefix}
        for device, path in shown.items():
            if path != "/usr":
                place = [f"source={path}", f"path={path}", "readonly=true"]
                module_lxc("config", "device", "add", name, device, "disk", *place).ok()
        module_lxc("start", name).ok()
        done(module_lxc, name, SET_UP)
        yield name
    finally:
        discard(daemon, name)


def test_this_system_runs_in_itself(module_lxc: Lxc, host: str) -> None:
    done(module_lxc, host, "lxc launch build:busybox inner --wait=ipv4 --timeout=60")
    assert done(module_lxc, host, "lxc exec inner -- id -u") == "0\n"
    assert done(module_lxc, host, "lxc exec inner -- hostname") == "inner\n"
    inside = done(module_lxc, host, "lxc exec inner -- cat /proc/self/uid_map").split()
    assert inside[1] == "1000000", "root of the innermost is nobody to the one around it"
    done(module_lxc, host, "echo text | lxc file push - inner/root/file --uid 1000")
    done(module_lxc, host, "lxc exec inner -- chmod 4755 /root/file")
    assert done(module_lxc, host, "lxc exec inner -- stat -c '%u %a' /root/file") == "1000 4755\n"


def test_there_an_instance_keeps_what_it_has(module_lxc: Lxc, host: str) -> None:
    done(module_lxc, host, "lxc snapshot inner one")
    done(module_lxc, host, "lxc exec inner -- sh -c 'echo more >>/root/file'")
    done(module_lxc, host, "lxc restart --force inner")
    assert done(module_lxc, host, "lxc exec inner -- cat /root/file") == "text\nmore\n"
    done(module_lxc, host, "lxc restore inner one; lxc copy inner/one other; lxc start other")
    for name in ("inner", "other"):
        assert done(module_lxc, host, f"lxc exec {name} -- cat /root/file") == "text\n"
        assert done(module_lxc, host, f"lxc exec {name} -- stat -c '%u %a' /root/file") == "1000 4755\n"
    done(module_lxc, host, "lxc stop inner --force; lxc publish inner --alias published; lxc init published third")
    assert done(module_lxc, host, "lxc file pull third/root/file -") == "text\n"


def test_it_leaves_nothing_behind(module_lxc: Lxc, host: str) -> None:
    done(module_lxc, host, "lxc delete --force inner other third; lxc image delete published; lxd shutdown")
    assert done(module_lxc, host, "ls /var/lib/lxd/storage-pools/default/containers") == ""
    assert done(module_lxc, host, "grep -c /var/lib/lxd/ /proc/self/mountinfo || true") == "0\n"
    assert "veth" not in done(module_lxc, host, "ls /sys/class/net")
    running = done(module_lxc, host, "ps -eo args --no-headers | grep -E '^\\[lxc monitor|/lxd( |$)' || true")
    assert running == ""
