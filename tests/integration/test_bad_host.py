"""Hosts that lack something, are full or are in use: the message says what and how to mend it, and nothing is left."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests import conftest
from tests.harness import images, leaks
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import LXD, Daemon
from tests.harness.full_disks import filled, small_disk
from tests.harness.processes import run

LIBLXC = "$(ldconfig -p | sed -n 's/.*liblxc.so.1 .*=> //p' | head -1)"
START = {"action": "start", "timeout": 30}
watched = contextmanager(conftest.watched)


@pytest.fixture(autouse=True)
def own(request: pytest.FixtureRequest) -> None:
    """None of this can be done to a daemon of somebody else."""
    if request.config.getoption("--against"):
        pytest.skip("starts daemons of its own")


def program(folder: Path, *unshare: str, change: str) -> Path:
    """An `lxd` in namespaces of its own, in which a shell line changes the host before it."""
    path = folder / "lxd"
    line = f'{change}; exec "$@"'
    path.write_text(
        "#!/bin/sh -eu\n"
        f'if [ "${{1-}}" != --group ]; then exec {shlex.quote(str(LXD))} "$@"; fi\n'
        f'exec unshare {" ".join(unshare)} sh -euc {shlex.quote(line)} sh {shlex.quote(str(LXD))} "$@"\n'
    )
    path.chmod(0o755)
    return path


def add_image(daemon: Daemon, folder: Path) -> None:
    """An image that boots, by its alias."""
    added = daemon.operation("POST", "/1.0/images", images.unified(folder / "image.tar.gz").read_bytes())
    assert added["status"] == "Success", added
    alias = {"name": conftest.IMAGE, "target": added["metadata"]["fingerprint"]}
    assert daemon.request("POST", "/1.0/images/aliases", alias).status == 201


def create(daemon: Daemon, name: str, **more: object) -> str:
    """Create an instance; what went wrong, "" when nothing did."""
    body = {"name": name, "source": {"type": "image", "alias": conftest.IMAGE}, **more}
    answer = daemon.request("POST", "/1.0/instances", body)
    if answer.status != 202:
        return answer.error
    return daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata["err"]


def start(daemon: Daemon, name: str) -> str:
    """Start an instance; what went wrong, "" when nothing did."""
    return daemon.operation("PUT", f"/1.0/instances/{name}/state", START)["err"]


def test_without_liblxc_the_daemon_says_what_to_install(tmp_path: Path) -> None:
    lacking = program(tmp_path, "--mount", change=f"mount --bind /dev/null {LIBLXC}")
    with watched(lambda _: None, Daemon(program=lacking)) as daemon:
        refused = run([daemon.program, "--group", "root"], env=daemon.env, timeout_s=60)
        daemon.program = LXD  # from here on the host is whole
        assert refused.status == 1
        only = r"Error: Liblxc: it cannot be loaded: .* \(apt install liblxc1\)\n"
        assert re.fullmatch(only, refused.stderr), refused.stderr
        assert not (daemon.state / "unix.socket").exists()


IDS = {
    "an empty file": "echo -n >/etc/subuid",
    "a range of somebody else": "echo user:100000:65536 >/etc/subuid",
    "a range that is too small": "echo root:100000:1000 >/etc/subuid",
    "no numbers": "echo root:x:y >/etc/subuid",
    "the ids of the host itself": "echo root:0:65536 >/etc/subuid",
    "more ids than there are": "echo root:4294900000:100000 >/etc/subuid",
    "no range of groups": "echo -n >/etc/subgid",
    "no file of groups": "rm /etc/subgid",
    "no range at all": "echo -n >/etc/subuid; echo -n >/etc/subgid",
    "no file at all": "rm /etc/subuid /etc/subgid",
}


@pytest.mark.parametrize("kind", IDS)
def test_without_a_range_of_ids_an_unprivileged_instance_says_which_line_to_add(tmp_path: Path, kind: str) -> None:
    etc = tmp_path / "etc"
    lacking = program(tmp_path, "--mount", change=f"cp -a /etc {etc}; mount --bind {etc} /etc; {IDS[kind]}")
    with watched(lambda daemon: daemon.start().initialise(), Daemon(program=lacking)) as daemon:
        add_image(daemon, tmp_path)
        lxc, name = Lxc(OURS, daemon.env, conftest.home(tmp_path / "lxc")), f"ids-{daemon.bridge}"
        refused = lxc("launch", conftest.IMAGE, name).failed("gives root no range of at least 65536 ids")
        assert leaks.of_instance(daemon, name) == []
        assert create(daemon, f"privileged-{daemon.bridge}", config={"security.privileged": "true"}) == ""
        # What is said to be the remedy is one.
        for file in ("/etc/subuid", "/etc/subgid"):
            if f"{file} gives root no " in refused.stderr:
                remedy = re.search(rf"\((echo \S+ >> {file})\)", refused.stderr)
                assert remedy, refused.stderr
                run(["nsenter", "--mount", f"--target={daemon.pid}", "sh", "-c", remedy[1]]).ok()
                refused = lxc("launch", conftest.IMAGE, name)
        assert "/etc/" not in refused.stderr
        assert refused.status == 0, refused.stderr


def no_network(daemon: Daemon, name: str) -> None:
    """Check that nothing is left of a network that could not be made."""
    assert [url for url in daemon.request("GET", "/1.0/networks").metadata if name in url] == []
    assert not (daemon.state / "networks" / name).exists()
    inside = run(["nsenter", "--net", f"--target={daemon.pid}", "ip", "-o", "link"]).ok().stdout
    assert name not in inside


def make_network(daemon: Daemon, **config: str) -> Any:
    """Try to make a network; the answer."""
    config = {key.replace("_", "."): value for key, value in config.items()}
    return daemon.request("POST", "/1.0/networks", {"name": "lvtnew0", "config": config})


def test_a_subnet_in_use_is_not_taken(tmp_path: Path) -> None:
    # An interface that is none of ours, in a network of its own.
    change = "ip link add other type bridge; ip addr add 10.77.5.9/24 dev other; ip link set other up"
    prepared = Daemon(program=program(tmp_path, "--net", change=change))
    with watched(lambda daemon: daemon.start(), prepared) as daemon:
        for address in ("10.77.5.1/24", "10.77.0.1/16"):
            refused = make_network(daemon, ipv4_address=address, ipv6_address="none")
            assert refused.status == 400
            assert "in use by the host's interface other (10.77.5.9/24)" in refused.error
            assert "(choose another subnet, or ipv4.address=auto)" in refused.error
            no_network(daemon, "lvtnew0")
        chosen = make_network(daemon, ipv6_address="none")
        assert chosen.status == 201
        address = daemon.request("GET", "/1.0/networks/lvtnew0").metadata["config"]["ipv4.address"]
        assert not ip_interface(address).network.overlaps(ip_network("10.77.5.0/24"))
        body = {"name": "lvtnew1", "config": {"ipv4.address": address, "ipv6.address": "none"}}
        refused = daemon.request("POST", "/1.0/networks", body)
        assert refused.status == 400
        assert "overlaps" in refused.error
        no_network(daemon, "lvtnew1")


@pytest.mark.parametrize("port", [53, 67])
def test_a_port_that_another_server_has_is_named(tmp_path: Path, port: int) -> None:
    # Something serves on every address and does not share the port.
    prepared = Daemon(program=program(tmp_path, "--net", change="ip link set lo up"))
    with watched(lambda daemon: daemon.start(), prepared) as daemon, squatter(daemon, port):
        refused = make_network(daemon, ipv6_address="none")
        assert refused.status == 500
        assert "Address already in use" in refused.error
        assert "(another DNS or DHCP server listens on every address: " in refused.error
        no_network(daemon, "lvtnew0")


@contextmanager
def squatter(daemon: Daemon, port: int) -> Iterator[None]:
    """Somebody else's socket in the daemon's network."""
    script = f"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', {port})); print('bound'); input()"
    words = ["nsenter", "--net", f"--target={daemon.pid}", sys.executable, "-uc", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"bound\n"
        yield
        process.stdin.write(b"\n")


@pytest.mark.parametrize("driver", ["dir", "overlay"])
def test_a_full_pool_is_named_and_nothing_of_the_instance_stays(tmp_path: Path, driver: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tmp_path.chmod(0o711)
    with small_disk(source, "8m"), watched(lambda daemon: daemon.start().initialise()) as daemon:
        add_image(daemon, tmp_path)
        pool = {"name": "small", "driver": driver, "config": {"source": str(source)}}
        assert daemon.request("POST", "/1.0/storage-pools", pool).status == 201
        root = {"root": {"type": "disk", "path": "/", "pool": "small"}}
        assert create(daemon, f"a-{daemon.bridge}", devices=root) == ""
        name = f"b-{daemon.bridge}"
        with filled(source):
            said = create(daemon, name, devices=root)
            assert "no space is left in storage pool 'small'" in said
            assert "(free some space on the file system of " in said
            assert leaks.of_instance(daemon, name) == []
            assert name not in daemon.instance_names()
        assert create(daemon, name, devices=root) == ""


def test_a_full_disk_below_the_daemon_is_named_and_nothing_stays(tmp_path: Path) -> None:
    prepared = Daemon()
    disk = prepared.state
    with small_disk(disk, "40m"):
        prepared.state = disk / "state"
        with watched(lambda daemon: daemon.start().initialise(), prepared) as daemon:
            add_image(daemon, tmp_path)
            old, name = f"a-{daemon.bridge}", f"b-{daemon.bridge}"
            assert create(daemon, old) == ""
            before = sorted((daemon.state / "images").iterdir())
            extra = {"rootfs/etc/large": os.urandom(100_000)}
            another = images.unified(tmp_path / "another.tar.gz", extra=extra).read_bytes()
            with filled(daemon.state):
                upload = daemon.request("POST", "/1.0/images", another)
                assert upload.error == "Image store: No space left on device (free some space, then try again)"
                assert sorted((daemon.state / "images").iterdir()) == before
                full = "Database: database or disk is full (look at the file system of "
                profile = {"name": "large", "description": "x" * 100_000}
                assert daemon.request("POST", "/1.0/profiles", profile).error.startswith(full)
                assert create(daemon, name).startswith(full)
                assert leaks.of_instance(daemon, name) == []
                refused = start(daemon, old)
                assert "No space left on device (free some space; df -h shows where there is none)" in refused
                assert leaks.of_stopped(daemon, old) == []
                assert daemon.operation("DELETE", f"/1.0/instances/{old}")["err"].startswith(full)
            assert (start(daemon, old), create(daemon, name), start(daemon, name)) == ("", "", "")
