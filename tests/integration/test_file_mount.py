"""`lxc file mount`: by sshfs with both clients and both transports, and for SSH clients."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from tests.conftest import home
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import on_network
from tests.harness.processes import eventually

needs_sshfs = pytest.mark.skipif(
    not shutil.which("sshfs") or not Path("/dev/fuse").exists(), reason="needs sshfs and FUSE"
)
PASSWORD = "geheim"


@contextmanager
def mounting(lxc: Lxc, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`lxc file mount`, ended as by Ctrl-C."""
    argv = [str(lxc.program), "file", "mount", *map(str, words)]
    process = subprocess.Popen(
        argv, env={**os.environ, **lxc.env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def is_mounted(place: Path) -> bool:
    return f" {place} fuse.sshfs" in Path("/proc/mounts").read_text()


def inside(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


@pytest.fixture(params=["unix", "https"])
def away(request: pytest.FixtureRequest, daemon: Daemon, lxc: Lxc, tmp_path: Path) -> Iterator[tuple[Lxc, str]]:
    """Our client, and what it calls the daemon: on its socket, and over the network."""
    if request.param == "unix":
        yield lxc, ""
        return
    client = Lxc(OURS, {"LXD_DIR": str(tmp_path / "nowhere")}, home(tmp_path / "away"))
    with on_network(daemon) as network:
        daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
        client("remote", "add", "foo", network.address, "--accept-certificate", "--password", PASSWORD).ok()
        yield client, "foo:"


@needs_sshfs
def test_files_are_mounted_by_both_clients(either: Lxc, lxc: Lxc, running: str, tmp_path: Path) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    with mounting(either, f"{running}/root", place):
        eventually(lambda: is_mounted(place), what="the mount")
        (place / "folder").mkdir()
        (place / "folder/file").write_bytes(bytes(3_000_000))
        (place / "folder/file").rename(place / "moved")
        (place / "link").symlink_to("moved")
        (place / "moved").chmod(0o640)
        assert sorted(one.name for one in place.iterdir()) == ["folder", "link", "moved"]
        assert inside(lxc, running, "cd /root; stat -c '%n %s %a' moved; readlink link") == "moved 3000000 640\nmoved\n"
        assert shutil.disk_usage(place).total > 0
    eventually(lambda: not is_mounted(place), what="the mount to go")


@needs_sshfs
def test_a_mount_over_the_network_carries_much(away: tuple[Lxc, str], lxc: Lxc, running: str, tmp_path: Path) -> None:
    client, remote = away
    place = tmp_path / "mnt"
    place.mkdir()
    data = os.urandom(20 << 20)
    with mounting(client, f"{remote}{running}", place) as process:
        eventually(lambda: is_mounted(place), what="the mount")
        (place / "root/large").write_bytes(data)
        assert (place / "root/large").read_bytes() == data
        lxc("stop", "--force", running).ok()
        process.wait(timeout=30)
    eventually(lambda: not is_mounted(place), what="the mount to go with the instance")


def test_bad_words_are_refused(lxc: Lxc, running: str, tmp_path: Path) -> None:
    lxc("file", "mount", running, tmp_path, "--listen", ":0").failed("Target path and --listen flag cannot be used")
    lxc("file", "mount", running, tmp_path / "none").failed("Target path must be a directory")
    lxc("file", "mount", "/x", tmp_path).failed("Missing instance name")
    lxc("file", "mount", "nothing", tmp_path, env={"PATH": "/nowhere"}).failed("sshfs not found")
    lxc("file", "mount", "nothing").failed("not found")
    lxc("file", "mount", running, "--listen", "nonsense").failed("missing port in address")


async def test_ssh_clients_get_in_with_the_password_that_is_printed(away: tuple[Lxc, str], running: str) -> None:
    client, remote = away
    with mounting(client, f"{remote}{running}", "--auth-user", "me") as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        listening = re.fullmatch(r"SSH SFTP listening on 127\.0\.0\.1:(\d+)\n", said[0])
        login = re.fullmatch(r'Login with username "me" and password "(.+)"\n', said[2])
        assert listening
        assert login
        place = {"host": "127.0.0.1", "port": int(listening[1]), "known_hosts": None, "config": None}
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(**place, username="me", password="wrong", client_keys=None)
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(**place, username="you", password=login[1], client_keys=None)
        async with asyncssh.connect(**place, username="me", password=login[1], client_keys=None) as connection:
            async with connection.start_sftp_client() as session, session.open("/root/note", "wb") as file:
                await file.write(b"x" * 1_000_000)
            async with connection.start_sftp_client() as session:
                assert (await session.stat("/root/note")).size == 1_000_000
                assert sorted(await session.listdir("/root")) == ["note"]
            with pytest.raises(asyncssh.Error):
                await connection.run("id", check=True)


async def test_without_a_password_everybody_gets_in(lxc: Lxc, running: str) -> None:
    with mounting(lxc, running, "--no-auth", "--listen", "127.0.0.1:0") as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        assert said[2] == "Login without username and password\n"
        port = int(said[0].rpartition(":")[2])
        async with (
            asyncssh.connect("127.0.0.1", port, known_hosts=None, username="any", client_keys=None) as connection,
            connection.start_sftp_client() as session,
        ):
            assert "passwd" in await session.listdir("/etc")
