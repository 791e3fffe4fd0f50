"""Hosts that lack something, are full or are in use: what a user reads, and that nothing stays behind."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import conftest
from tests.harness import images, leaks
from tests.harness.daemon import LXD, Daemon
from tests.harness.processes import run

LIBLXC = "$(ldconfig -p | sed -n 's/.*liblxc.so.1 .*=> //p' | head -1)"
START = {"action": "start", "timeout": 30}
watched = contextmanager(conftest.watched)


@pytest.fixture(autouse=True)
def own(request: pytest.FixtureRequest) -> None:
    """None of this can be done to a daemon of somebody else."""
    if request.config.getoption("--against"):
        pytest.skip("starts daemons of its own")


def program(folder: Path, *unshare: str, before: str = ":") -> Path:
    """An `lxd` in namespaces of its own, in which a shell line was run before."""
    path = folder / "lxd"
    line = f'{before}; exec "$@"'
    path.write_text(
        "#!/bin/sh -eu\n"
        f'if [ "${{1-}}" != --group ]; then exec {shlex.quote(str(LXD))} "$@"; fi\n'
        f'exec unshare {" ".join(unshare)} sh -euc {shlex.quote(line)} sh {shlex.quote(str(LXD))} "$@"\n'
    )
    path.chmod(0o755)
    return path


def hiding(folder: Path, hidden: str, content: str) -> Path:
    """An `lxd` that sees another content in a file of the host."""
    instead = folder / "instead"
    instead.write_text(content)
    mount = f"mount --bind {shlex.quote(str(instead))} {hidden}"
    return program(folder, "--mount", "--propagation=private", before=mount)


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
    with watched(lambda _: None, Daemon(program=hiding(tmp_path, LIBLXC, ""))) as daemon:
        refused = run([daemon.program, "--group", "root"], env=daemon.env, timeout_s=30)
        assert refused.status == 1
        assert "liblxc" in refused.stderr
        assert "apt install liblxc1" in refused.stderr
        assert "Traceback" not in refused.stderr
        daemon.program = LXD  # from here on the host is whole


@pytest.mark.parametrize("content", ["", "user:100000:65536\n", "root:100000:1000\n", "root:x:y\n"])
def test_without_a_range_of_ids_an_unprivileged_instance_says_which_line_to_add(tmp_path: Path, content: str) -> None:
    prepared = Daemon(program=hiding(tmp_path, "/etc/subuid", content))
    with watched(lambda daemon: daemon.start().initialise(), prepared) as daemon:
        add_image(daemon, tmp_path)
        name = f"ids-{daemon.bridge}"
        said = create(daemon, name) or start(daemon, name)
        assert "/etc/subuid gives root no range" in said
        assert ">> /etc/subuid" in said
        assert [line for line in leaks.of_stopped(daemon, name) if "link:" not in line] == []
        privileged = f"privileged-{daemon.bridge}"
        assert create(daemon, privileged, config={"security.privileged": "true"}) == ""
        daemon.stop()
        daemon.program = LXD
        daemon.start()
        if name in daemon.instance_names():
            assert start(daemon, name) == ""


def test_a_subnet_of_the_host_is_not_taken(daemon: Daemon) -> None:
    routes = run(["ip", "-4", "-o", "address", "show", "dev", daemon.bridge]).stdout
    taken = routes.split("inet ")[1].split()[0]
    before = daemon.request("GET", "/1.0/networks").metadata
    for address in (taken, taken.rpartition("/")[0] + "/16"):
        config = {"ipv4.address": address, "ipv6.address": "none"}
        answer = daemon.request("POST", "/1.0/networks", {"name": "lvttaken0", "config": config})
        assert answer.status == 400, answer.body
        assert "overlaps" in answer.error or "in use" in answer.error
    assert daemon.request("GET", "/1.0/networks").metadata == before
    assert not Path("/sys/class/net/lvttaken0").exists()
    assert not (daemon.state / "networks/lvttaken0").exists()


def test_a_port_that_another_server_has_is_named(tmp_path: Path) -> None:
    # In a network of its own, where something answers DHCP on every address and does not share the port.
    squatter = (
        "ip link set lo up; python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        's.bind(("", 67)); time.sleep(600)\' & echo $! >"$LXD_DIR/squatter"; sleep 0.5'
    )
    prepared = Daemon(program=program(tmp_path, "--net", before=squatter))
    with watched(lambda daemon: daemon.start(), prepared) as daemon:
        pid = (daemon.state / "squatter").read_text().strip()
        answer = daemon.request("POST", "/1.0/networks", {"name": "lvtport0", "config": {"ipv6.address": "none"}})
        run(["kill", pid])
        assert answer.status == 500, answer.body
        assert "Address already in use" in answer.error
        assert "another DNS or DHCP server" in answer.error
        assert [url for url in daemon.request("GET", "/1.0/networks").metadata if "lvtport0" in url] == []
        assert not (daemon.state / "networks/lvtport0").exists()
        inside = run(["nsenter", "--net", f"--target={daemon.pid}", "ip", "-o", "link"]).stdout
        assert "lvtport0" not in inside


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of this size, for as long as the context lasts."""
    run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "none", place]).ok()
    try:
        yield
    finally:
        run(["umount", place]).ok()


def fill(folder: Path) -> Path:
    """Use all the space there is in a directory; the file that does."""
    file = folder / "filler"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    os.write(descriptor, bytes(size))
    finally:
        os.close(descriptor)
    return file


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
        filler = fill(source)
        name = f"b-{daemon.bridge}"
        assert "no space is left in storage pool 'small'" in create(daemon, name, devices=root)
        assert leaks.of_instance(daemon, name) == []
        assert name not in daemon.instance_names()
        filler.unlink()
        assert create(daemon, name, devices=root) == ""


def test_a_full_disk_below_the_daemon_is_named_and_nothing_stays(tmp_path: Path) -> None:
    prepared = Daemon()
    disk = prepared.state
    with small_disk(disk, "40m"):
        prepared.state = disk / "state"
        with watched(lambda daemon: daemon.start().initialise(), prepared) as daemon:
            add_image(daemon, tmp_path)
            assert create(daemon, f"a-{daemon.bridge}") == ""
            filler = fill(daemon.state)
            name = f"b-{daemon.bridge}"
            said = create(daemon, name)
            assert "Internal" not in said
            assert "space" in said or "full" in said, said
            assert leaks.of_instance(daemon, name) == []
            said = start(daemon, f"a-{daemon.bridge}")
            assert "Internal" not in said
            filler.unlink()
            assert create(daemon, name) == ""
            assert start(daemon, name) == ""
    disk.rmdir()
