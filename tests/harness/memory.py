"""Containers whose memory can be told from another one's: they count, and nothing of it is on a disk."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.harness import images, processes
from tests.harness.certificates import make
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import on_network
from tests.harness.processes import REPOSITORY, eventually

VARIABLE = "LIGHTERVISOR_CRIU"
IMAGE = "counting"
# A word that only this process knows, and how often it was asked for it.
COUNTING = """\
word=$1; asked=0; mkfifo /run/ask /run/tell
while read -r line </run/ask; do asked=$((asked + 1)); echo "$word $asked $$" >/run/tell; done
"""


@cache
def criu() -> str:
    """The path of a criu that works here; the test is skipped, with the reason, where there is none."""
    done = processes.run([REPOSITORY / "scripts/criu"], timeout_s=300)
    if done.status != 0:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()


def daemon_with_criu() -> Daemon:
    """A daemon that is told of it, not started yet."""
    return Daemon(env={VARIABLE: criu()})


def add_image(daemon: Daemon) -> None:
    """The image that `Counting` uses."""
    data = images.unified(daemon.state / "counting.tar.gz", extra={"rootfs/bin/counting": COUNTING.encode()})
    finished = daemon.operation("POST", "/1.0/images", data.read_bytes())
    data.unlink()
    body = {"name": IMAGE, "target": finished["metadata"]["fingerprint"]}
    assert daemon.request("POST", "/1.0/images/aliases", body).status == 201


@contextmanager
def linked(here: Daemon, there: Daemon, folder: Path) -> Iterator[Lxc]:
    """A client that knows both daemons, as `here` and `there`."""
    identity = make("root@both")
    identity.write(folder)
    body = {"type": "client", "name": "both", "certificate": base64.b64encode(identity.der).decode()}
    client = Lxc(OURS, {"LXD_DIR": str(folder / "nowhere")}, folder)
    with on_network(here) as near, on_network(there) as far:
        for remote, one, network in (("here", here, near), ("there", there, far)):
            assert one.request("POST", "/1.0/certificates", body).status == 201
            client("remote", "add", remote, f"https://{network.address}", "--accept-certificate").ok()
        yield client


class Counting:
    """A container that counts, of one daemon."""

    def __init__(self, daemon: Daemon, name: str = "", *, config: dict[str, str] | None = None) -> None:
        self.daemon, self.name, self.word, self.asked = daemon, name or f"t-{secrets.token_hex(4)}", "", 0
        self.lxc = Lxc(OURS, daemon.env, daemon.state / "client")
        self._config = {"migration.stateful": "true", **(config or {})}

    def start(self) -> Counting:
        """Launch it, and its count."""
        self.lxc.launch(IMAGE, self.name, config=self._config)
        self.word, self.asked = secrets.token_hex(8), 0
        start = f"setsid sh /bin/counting {self.word} </dev/null >/dev/null 2>&1 &"
        self.lxc.say("exec", self.name, "--", "sh", "-c", start)
        self.inside("until [ -p /run/tell ]; do sleep 0.05; done")
        self.pid = self.ask()[2]
        return self

    def inside(self, command: str) -> str:
        """What a command says."""
        return self.lxc.say("exec", self.name, "--", "sh", "-c", command)

    def ask(self) -> tuple[str, int, int]:
        """The word, how often it was asked for, and the pid of the process that knows it."""
        word, asked, pid = self.inside("echo >/run/ask; cat /run/tell").split()
        self.asked += 1
        return word, int(asked), int(pid)

    def check(self) -> None:
        """It is still the same process, and has forgotten nothing."""
        assert self.ask() == (self.word, self.asked, self.pid)

    @property
    def record(self) -> dict[str, object]:
        """What the daemon says of it."""
        return self.daemon.request("GET", f"/1.0/instances/{self.name}").metadata

    def await_address(self) -> str:
        """Its address on the bridge."""
        show = "ip -4 -o addr show eth0 | awk '{print $4}'"
        return eventually(lambda: self.inside(show).strip().partition("/")[0], what="an address")

    def moved_to(self, daemon: Daemon) -> Counting:
        """It is another daemon's now."""
        self.daemon, self.lxc = daemon, Lxc(OURS, daemon.env, daemon.state / "client")
        return self
