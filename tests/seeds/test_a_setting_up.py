"""Rows A2-A9, A14-A17: installing and setting up."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import OURS
from tests.harness.daemon import Daemon
from tests.harness.network import Network
from tests.harness.processes import REPOSITORY, eventually
from tests.harness.terminal import Terminal
from tests.seeds.conftest import Shell

# What systemd does: the socket is descriptor 3, and two variables say so.
HAND_OVER = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a2_init_asks_and_sets_up_pool_bridge_and_profile(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    terminal = Terminal([str(bare_daemon.program), "init"], bare_daemon.env)
    answers = (
        ("clustering?", "no"),
        ("new storage pool?", "yes"),
        ("Name of the new storage pool", "default"),
        ("storage backend to use", "dir"),
        ("MAAS", "no"),
        ("new local network bridge?", "yes"),
        ("new bridge be called?", bare_daemon.bridge),
        ("IPv4 address", "auto"),
        ("IPv6 address", "none"),
        ("over the network?", "no"),
        ("stale cached images", "yes"),
        ('"lxd init" preseed', "no"),
    )
    for question, answer in answers:
        terminal.expect(question)
        terminal.type(f"{answer}\n")
    assert terminal.end() == 0
    assert bare_daemon.request("GET", "/1.0/storage-pools/default").metadata["driver"] == "dir"
    devices = bare_daemon.request("GET", "/1.0/profiles/default").metadata["devices"]
    assert devices["eth0"]["network"] == bare_daemon.bridge
    assert devices["root"]["pool"] == "default"


def test_a3_a4_the_group_decides_who_may_use_the_socket(daemon: Daemon) -> None:
    found = (daemon.state / "unix.socket").stat()
    assert found.st_mode & 0o777 == 0o660
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        ["/usr/bin/python3", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
         str(daemon.state / "unix.socket")],
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "PermissionError" in done.stderr


def test_a5_a_host_without_swap_accounting_still_runs(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} limits.memory 128MiB").ok()
    shell(f"lxc config set {running} limits.memory.swap false").ok()
    assert "Status: RUNNING" in shell(f"lxc info {running}").ok().stdout


def test_a6_the_first_command_starts_a_socket_activated_daemon(bare_daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bare_daemon.state / "unix.socket"))
        listener.listen()

        with bare_daemon.log.open("ab") as log:
            bare_daemon.process = subprocess.Popen(
                [sys.executable, "-c", HAND_OVER, str(listener.fileno()), bare_daemon.program, "--group", "root"],
                env={**os.environ, **bare_daemon.env},
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        env = {**bare_daemon.env, "LXD_CONF": str(bare_daemon.state)}
        assert "NAME" in processes.run([OURS, "list"], env=env, timeout_s=60).ok().stdout


@pytest.mark.parametrize(
    ("typed", "shown"),
    [(":8443", ":8443"), ("[::]", "[::]"), ('"[::]:8443"', "[::]:8443")],
    ids=["a7", "a8", "a9"],
)
def test_a7_a8_a9_the_server_listens_on_the_network(shell: Shell, daemon: Daemon, typed: str, shown: str) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::", 8443))
        except OSError:
            pytest.skip("something else listens on port 8443 of this machine")
    try:
        said = shell(f"lxc config set core.https_address {typed}").ok()
        assert (said.stdout, said.stderr) == ("", "")
        assert shell("lxc config get core.https_address").ok().stdout == f"{shown}\n"
        for address in ("127.0.0.1", "::1"):
            told = json.loads(Network(8443, address).request(None, "GET", "/1.0").body)["metadata"]
            assert told["auth"] == "untrusted"
    finally:
        shell("lxc config unset core.https_address").ok()
    with pytest.raises(OSError):
        Network(8443).request(None, "GET", "/1.0")


@pytest.mark.parametrize("driver", ["dir", "overlay"])
def test_a14_every_backend_of_this_host_can_be_chosen(shell: Shell, name: str, driver: str) -> None:
    shell(f"lxc storage create p-{name} {driver}").ok()
    shown = shell("lxc storage list -f csv").ok().stdout
    shell(f"lxc storage delete p-{name}").ok()
    assert f"p-{name},{driver}" in shown


def test_a15_storage_list(shell: Shell) -> None:
    head = shell("lxc storage list").ok().stdout.splitlines()[1]
    assert [word.strip() for word in head.strip("| ").split("|")] == [
        "NAME",
        "DRIVER",
        "SOURCE",
        "DESCRIPTION",
        "USED BY",
        "STATE",
    ]


def test_a16_help_config(shell: Shell) -> None:
    text = shell("lxc help config").ok().stdout
    for word in ("device", "edit", "get", "metadata", "set", "show", "template", "trust", "unset"):
        assert f"\n  {word} " in text, word
    assert text == shell("lxc config --help").ok().stdout


def test_a17_debug_logs_requests(daemon: Daemon, shell: Shell) -> None:
    shell("lxc query /1.0/profiles").ok()
    eventually(lambda: "/1.0/profiles" in daemon.tail(300), what="the request in the log")
    assert "lxd.service" in [unit.name for unit in (REPOSITORY / "packaging").iterdir()]
    assert Path(REPOSITORY / "packaging/lxd.service").read_text().count("--group lxd") == 1
