"""build:debian/* as their users meet them: made here once for all tests, booted, on the network, stopped, seeded.

Building takes a minute; everything that is only looked at shares the instances.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.images.builders import host_apt
from lightervisor.images.builders.builder import Workshop, builders
from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONGEST_S = 600
PLAIN = {"d12": "debian/12", "d13": "debian/13"}
CLOUD = {"c12": "debian/12/cloud", "c13": "debian/13/cloud"}
TWIN = "d12-twin"
READY = ("systemctl", "is-system-running", "--wait")
USER_DATA = """#cloud-config
users:
- name: joe
  shell: /bin/bash
  sudo: ALL=(ALL) NOPASSWD:ALL
write_files:
- path: /etc/written
  content: by cloud-init
"""


def builds(daemon: Daemon) -> list[int]:
    """The processes that see the directory of a build: mmdebstrap, apt, dpkg and packages' scripts."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts = (process / "mountinfo").read_text()
        except OSError:
            continue
        if re.search(rf"{daemon.state}/images/\.incoming/\S+ /build ", mounts):
            found.append(int(process.name))
    return found


def progress(daemon: Daemon) -> set[str]:
    """What the operations show now."""
    listing = daemon.request("GET", "/1.0/operations?recursion=1").metadata or {}
    shown = [one["metadata"] or {} for operations in listing.values() for one in operations]
    return {metadata["download_progress"] for metadata in shown if metadata.get("download_progress")}


def addresses(daemon: Daemon, name: str, family: str) -> list[str]:
    card = (daemon.request("GET", f"/1.0/instances/{name}/state").metadata["network"] or {}).get("eth0", {})
    return [one["address"] for one in card.get("addresses", []) if (one["family"], one["scope"]) == (family, "global")]


def init_of(daemon: Daemon, name: str) -> int:
    state = daemon.request("GET", f"/1.0/instances/{name}/state").metadata
    return state["pid"] if state["status"] == "Running" else 0


def until_up(lxc: Lxc, name: str) -> None:
    """Wait until systemd has started everything; it must all have worked."""
    eventually(lambda: lxc.run(name, "test", "-S", "/run/systemd/private").status == 0, what="systemd to listen")
    ran = lxc.run(name, *READY)
    failed = lxc.run(name, "systemctl", "--failed", "--no-legend", "--no-pager").stdout
    assert (ran.stdout.strip(), failed.strip()) == ("running", "")


def start_build(lxc: Lxc, daemon: Daemon, alias: str, name: str) -> subprocess.Popen[bytes]:
    """A launch that has come to unpack packages."""
    launch = subprocess.Popen(
        [lxc.program, "launch", f"build:{alias}", name],
        env=lxc.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    eventually(
        lambda: f"{alias}: unpacking" in progress(daemon) or launch.poll() is not None,
        timeout_s=120,
        what="packages to be unpacked",
    )
    assert builds(daemon), launch.communicate()[0].decode()
    return launch


def test_a_cancelled_build_leaves_nothing(daemon: Daemon, lxc: Lxc) -> None:
    launch = start_build(lxc, daemon, "debian/12", "cancelled")
    launch.send_signal(signal.SIGINT)
    launch.communicate(timeout=60)
    assert launch.returncode != 0
    eventually(lambda: not builds(daemon), what="the build to end")
    eventually(lambda: not list((daemon.state / "images/.incoming").iterdir()), what="its directory to be removed")
    eventually(lambda: "cancelled" not in daemon.instance_names(), what="the instance to be taken back")
    assert not [one for one in daemon.request("GET", "/1.0/images?recursion=1").metadata if one["cached"]]


def test_a_build_ends_with_the_daemon(fresh_daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("default-remote: local\n")
    lxc = Lxc(Path(__file__).resolve().parents[2] / "bin/lxc", fresh_daemon.env, tmp_path)
    launch = start_build(lxc, fresh_daemon, "debian/12", "interrupted")
    fresh_daemon.kill()
    launch.communicate(timeout=60)
    eventually(lambda: not builds(fresh_daemon), what="the build to end")
    fresh_daemon.start()
    assert not list((fresh_daemon.state / "images/.incoming").iterdir())
    eventually(lambda: not fresh_daemon.instance_names(), what="the instance to be taken back")


def test_a_mirror_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = "http://127.0.0.1:9/debian"
    monkeypatch.setattr(host_apt, "lines", lambda release: [f"deb {mirror} {release} main"])
    builder = next(one for one in builders() if one.name == "debian")
    texts: list[str] = []
    with pytest.raises(HostError, match=rf"'mmdebstrap': E: Failed to fetch {mirror}.*Could not connect"):
        builder.build(builder.products()[0], "x86_64", Workshop(tmp_path, texts.append))
    assert texts[-1] == "debian/12: reading package lists"
    assert not list(tmp_path.glob("mmdebstrap.*")), "its temporary directory stayed"


@pytest.fixture(scope="module")
def shown(daemon: Daemon, module_lxc: Lxc) -> Iterator[set[str]]:
    """Everything built at once, the plain ones running; what the operations showed meanwhile."""

    def launch(name: str, alias: str) -> None:
        module_lxc("launch", f"build:{alias}", name, timeout_s=LONGEST_S).ok()

    def create(name: str, alias: str) -> None:
        module_lxc("init", f"build:{alias}", name, timeout_s=LONGEST_S).ok()

    seen: set[str] = set()
    names = {**PLAIN, TWIN: PLAIN["d12"]}
    with ThreadPoolExecutor(8) as pool:
        work: list[Future[None]] = [pool.submit(launch, *item) for item in names.items()]
        work += [pool.submit(create, *item) for item in CLOUD.items()]

        def all_done() -> bool:
            seen.update(progress(daemon))
            return all(one.done() for one in work)

        eventually(all_done, timeout_s=LONGEST_S, what="the builds")
    try:
        for one in work:
            one.result()
        yield seen
    finally:
        for name in (*names, *CLOUD):
            discard(daemon, name)
        for image in daemon.request("GET", "/1.0/images?recursion=1").metadata:
            if image["cached"]:
                daemon.operation("DELETE", f"/1.0/images/{image['fingerprint']}")


@pytest.fixture(params=sorted(PLAIN))
def booted(request: pytest.FixtureRequest, shown: set[str]) -> str:
    """Each of the plain ones."""
    return request.param


@pytest.mark.parametrize("stage", ["downloading \\d+%", "unpacking \\d+%", "configuring \\d+%", "packing"])
@pytest.mark.parametrize("alias", [*PLAIN.values(), *CLOUD.values()])
def test_progress_is_shown(shown: set[str], alias: str, stage: str) -> None:
    assert [text for text in shown if re.fullmatch(f"{alias}: {stage}", text)]


@pytest.mark.parametrize("alias", [*PLAIN.values(), *CLOUD.values()])
def test_the_image_is_cached_like_any_other(daemon: Daemon, shown: set[str], alias: str) -> None:
    images = daemon.request("GET", "/1.0/images?recursion=1").metadata
    image, *others = [one for one in images if (one.get("update_source") or {}).get("alias") == alias]
    assert not others, "it was built twice"
    assert (image["cached"], image["public"], image["aliases"], image["type"]) == (True, False, [], "container")
    release, variant = {"12": "bookworm", "13": "trixie"}[alias[7:9]], "cloud" if "cloud" in alias else "default"
    found = {key: image["properties"][key] for key in ("os", "release", "variant", "architecture")}
    assert found == {"os": "Debian", "release": release, "variant": variant, "architecture": image["architecture"]}


def test_systemd_comes_up_whole(module_lxc: Lxc, booted: str) -> None:
    until_up(module_lxc, booted)


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_it_has_an_address_of_the_bridge(daemon: Daemon, booted: str, family: str) -> None:
    found = eventually(lambda: addresses(daemon, booted, family), what=f"an address ({family})")
    config = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]
    start = {"inet": config["ipv4.address"].rpartition(".")[0], "inet6": config["ipv6.address"].partition("::")[0]}
    assert found[0].startswith(start[family])


@pytest.mark.parametrize("suffix", [".lxd", ""])
def test_it_knows_another_container_by_name(daemon: Daemon, module_lxc: Lxc, booted: str, suffix: str) -> None:
    address = eventually(lambda: addresses(daemon, TWIN, "inet"), what="the other's address")[0]
    answer = eventually(
        lambda: module_lxc.run(booted, "getent", "ahostsv4", f"{TWIN}{suffix}").stdout, what="an answer of the DNS"
    )
    assert answer.split()[0] == address


def test_its_name_is_the_instances(module_lxc: Lxc, booted: str) -> None:
    assert module_lxc.run(booted, "hostname").stdout == f"{booted}\n"
    assert module_lxc.run(booted, "hostname", "--fqdn").stdout.partition(".")[0].strip() == booted
    assert module_lxc.run(booted, "cat", "/etc/hostname").stdout == f"{booted}\n"
    assert f"127.0.1.1\t{booted}\n" in module_lxc.run(booted, "cat", "/etc/hosts").stdout
    assert module_lxc.run(TWIN, "cat", "/proc/sys/kernel/hostname").stdout == f"{TWIN}\n"


def test_two_of_one_image_are_two_machines(module_lxc: Lxc, shown: set[str]) -> None:
    ids = [module_lxc.run(name, "cat", "/etc/machine-id").stdout for name in ("d12", TWIN)]
    assert len({*ids, ""}) == 3


def test_nothing_of_the_host_is_in_it(module_lxc: Lxc, booted: str) -> None:
    configured = module_lxc.run(booted, "sh", "-c", "cat /etc/dpkg/dpkg.cfg.d/* /etc/apt/apt.conf.d/*").stdout
    assert not [word for word in ("unsafe-io", "/build", "Proxy") if word in configured]
    assert module_lxc.run(booted, "readlink", "/etc/resolv.conf").stdout.endswith("/stub-resolv.conf\n")


def test_memory_cpus_and_uptime_are_its_own(module_lxc: Lxc, booted: str) -> None:
    module_lxc("config", "set", booted, "limits.memory=200MiB").ok()
    module_lxc("config", "set", booted, "limits.cpu=1").ok()
    before = time.monotonic()
    module_lxc("restart", booted).ok()
    free = module_lxc.run(booted, "free", "--kibi").stdout.splitlines()
    assert free[1].split()[1] == str(200 * 1024)
    assert module_lxc.run(booted, "nproc").stdout == "1\n"
    uptime = float(module_lxc.run(booted, "cat", "/proc/uptime").stdout.split()[0])
    assert uptime <= time.monotonic() - before + 1
    assert "up 0 min" in module_lxc.run(booted, "uptime").stdout
    until_up(module_lxc, booted)


def test_it_stops_by_itself_within_seconds_and_starts_again(module_lxc: Lxc, booted: str) -> None:
    until_up(module_lxc, booted)
    module_lxc("stop", booted, "--timeout", "30").ok()  # which does not force it
    module_lxc("start", booted).ok()
    until_up(module_lxc, booted)
    last = module_lxc.run(booted, "journalctl", "--boot=-1", "--no-pager", "--output=cat", "--lines=20").stdout
    assert "Journal stopped" in last, "it was not shut down in order"


def test_one_can_log_in_at_the_console(module_lxc: Lxc, booted: str) -> None:
    until_up(module_lxc, booted)
    assert module_lxc.run(booted, "chpasswd", stdin="root:secret word\n").status == 0
    terminal = Terminal([str(module_lxc.program), "console", booted], module_lxc.env)
    try:
        terminal.expect("To detach from the console, press: <ctrl>+a q")
        terminal.type("\n")
        for question, answer in ((f"{booted} login:", "root"), ("Password:", "secret word")):
            terminal.expect(question)
            terminal.type(f"{answer}\n")
        terminal.expect(f"root@{booted}:~#")
        terminal.type("logout\n")
    finally:
        terminal.process.kill()
        terminal.process.wait(timeout=60)


def test_it_can_restart_itself(daemon: Daemon, module_lxc: Lxc, booted: str) -> None:
    until_up(module_lxc, booted)
    init = init_of(daemon, booted)
    module_lxc("exec", booted, "--", "reboot")
    eventually(lambda: init_of(daemon, booted) not in (0, init), what="another init")
    until_up(module_lxc, booted)
    assert eventually(lambda: addresses(daemon, booted, "inet"), what="an address after the restart")


@pytest.mark.parametrize("name", sorted(CLOUD))
def test_cloud_init_does_what_its_seed_says(daemon: Daemon, module_lxc: Lxc, shown: set[str], name: str) -> None:
    seed = "/var/lib/cloud/seed/nocloud-net"
    module_lxc("config", "set", name, "cloud-init.user-data", "-", stdin=USER_DATA).ok()
    module_lxc("start", name).ok()
    module_lxc("wait", name, "--for=cloud-init,ip", "--timeout=300", timeout_s=LONGEST_S).ok()
    assert module_lxc.run(name, "cat", f"{seed}/user-data").stdout.strip() == USER_DATA.strip()
    assert f"local-hostname: {name}\n" in module_lxc.run(name, "cat", f"{seed}/meta-data").stdout
    eventually(lambda: module_lxc.run(name, "test", "-d", "/run/cloud-init").status == 0, what="cloud-init to begin")
    ran = module_lxc.run(name, "cloud-init", "status", "--wait", "--long")
    assert "status: done" in ran.stdout
    assert "NoCloud" in ran.stdout
    assert module_lxc.run(name, "cat", "/etc/written").stdout == "by cloud-init"
    assert module_lxc.run(name, "sudo", "--login", "--user", "joe", "sudo", "id", "-u").stdout == "0\n"
    assert eventually(lambda: addresses(daemon, name, "inet"), what="an address")
    until_up(module_lxc, name)


def test_packages_can_be_installed_and_another_init_boots(daemon: Daemon, module_lxc: Lxc, shown: set[str]) -> None:
    install = """
        set -e
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq -y --no-install-recommends install openrc sysvinit-core ifupdown udhcpc
        printf 'auto eth0\\niface eth0 inet dhcp\\n' >/etc/network/interfaces
        sed -i -e '/tty[1-6]$/d' -e 's,^pf:.*,pf::powerwait:/sbin/init 0,' /etc/inittab
    """
    ran = module_lxc.run(TWIN, "sh", "-c", install)
    assert ran.status == 0, ran.stdout + ran.stderr
    module_lxc("restart", "--force", TWIN).ok()
    eventually(lambda: module_lxc.run(TWIN, "runlevel").stdout == "N 2\n", what="OpenRC to come up")
    assert module_lxc.run(TWIN, "cat", "/proc/1/comm").stdout == "init\n"
    eventually(lambda: "starting" not in module_lxc.run(TWIN, "rc-status", "--all").stdout, what="its services")
    assert module_lxc.run(TWIN, "rc-status", "--crashed").stdout.strip() == ""
    assert "networking" in module_lxc.run(TWIN, "rc-status", "--all").stdout
    assert eventually(lambda: addresses(daemon, TWIN, "inet"), what="an address")
    module_lxc("stop", TWIN, "--timeout", "30").ok()
