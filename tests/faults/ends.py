"""Two servers and the client between them: one that may fail, `near`, and one that does not, `far`."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import home
from tests.faults.work import START, STOP, Outcome, Work
from tests.harness.certificates import make
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import LOOPBACK, free_port, listen
from tests.harness.processes import eventually

ALONE = {"eth0": {"type": "none"}}


class Ends:
    """`far`, with an image and the instance `origin`, and a client of it and of each of the crew."""

    def __init__(self, crew: list[Work], folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.far, self._clients = Daemon(env=env), dict[Work, Lxc]()
        self._crew, self._folder = crew, folder
        self.image = ""

    def open(self) -> None:
        """Start `far`, and have all know each other."""
        self.far.start().initialise()
        image = self._crew[0].daemon.request("GET", f"/1.0/images/{self._crew[0].image}/export").body
        added = self.far.operation("POST", "/1.0/images", image)
        assert added["status"] == "Success", added
        self.image = added["metadata"]["fingerprint"]
        identity = make("root@ends")
        trusted = {"type": "client", "name": "ends", "certificate": base64.b64encode(identity.der).decode()}
        for daemon in (self.far, *(work.daemon for work in self._crew)):
            assert daemon.request("POST", "/1.0/certificates", trusted).status == 201
            listen(daemon, f"{LOOPBACK}:{free_port()}")  # a restarted one has the same
        for number, work in enumerate(self._crew):
            folder = home(self._folder / str(number))
            identity.write(folder)
            client = Lxc(OURS, {"LXD_DIR": str(folder / "nowhere")}, folder)
            for remote, daemon in (("near", work.daemon), ("far", self.far)):
                address = daemon.request("GET", "/1.0").metadata["config"]["core.https_address"]
                client("remote", "add", remote, f"https://{address}", "--accept-certificate").ok()
            self._clients[work] = client
        self.make(self.far, self.image, "origin", "new", running=False)
        assert self.far.operation("POST", "/1.0/instances/origin/snapshots", {"name": "s1"})["status"] == "Success"

    def close(self) -> None:
        """End `far`, and take from the crew what it was given."""
        self.far.forget()
        self.far.remove()

    def lxc(self, work: Work, *words: str) -> list[Outcome]:
        """Run the client; what it said, as the end of an operation. Nothing runs on either side after it."""
        done = self._clients[work](*words)
        self.settled(self.far)
        if not work.has_ended():
            self.settled(work.daemon)
        return [{"status": "Success" if done.status == 0 else "Failure", "err": done.stderr}]

    @staticmethod
    def settled(daemon: Daemon) -> None:
        """Wait until nothing runs on a daemon, or it is dying."""

        def nothing_runs() -> bool:
            try:
                return "running" not in daemon.request("GET", "/1.0/operations").metadata
            except (OSError, http.client.HTTPException):
                return True

        eventually(nothing_runs, what="operations to end")

    @staticmethod
    def make(daemon: Daemon, image: str, name: str, text: str, *, running: bool) -> None:
        """An instance, with a note in it."""
        body = {"name": name, "source": {"type": "image", "fingerprint": image}, "devices": ALONE}
        assert daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
        write(daemon, name, text)
        if running:
            assert daemon.operation("PUT", f"/1.0/instances/{name}/state", START)["status"] == "Success"

    def says(self, name: str) -> str:
        """The status on `far` of what is called `name` here, "" when there is none."""
        answer = self.far.request("GET", f"/1.0/instances/{called(name)}")
        return "" if answer.status == 404 else answer.metadata["status"]

    def end(self, name: str, text: str) -> None:
        """Check that an instance on `far` is whole, by its note and a run, and take it away."""
        path = f"/1.0/instances/{called(name)}"
        assert self.note(name) == text
        if self.says(name) != "Running":
            if self.says(name) == "Frozen":
                assert self.far.operation("PUT", f"{path}/state", {"action": "unfreeze"})["status"] == "Success"
            else:
                assert self.far.operation("PUT", f"{path}/state", START)["status"] == "Success"
        body = {"command": ["cat", "/etc/passwd"], "record-output": True, "interactive": False}
        assert self.far.operation("POST", f"{path}/exec", body)["metadata"]["return"] == 0
        assert self.far.operation("PUT", f"{path}/state", STOP)["status"] == "Success"
        assert self.far.operation("DELETE", path)["status"] == "Success"

    def note(self, name: str) -> str:
        """The note in it."""
        return read(self.far, called(name))


def called(name: str) -> str:
    """What an instance is called on `far`: cgroups have the names of containers, whichever daemon they are of."""
    return f"far-{name}"


def write(daemon: Daemon, name: str, text: str) -> None:
    """Leave a note in an instance."""
    headers = {"X-LXD-type": "file", "Content-Type": "application/octet-stream"}
    path = f"/1.0/instances/{name}/files?path=/note"
    assert daemon.request("POST", path, text.encode(), headers=headers).status == 200


def read(daemon: Daemon, name: str) -> str:
    """The note in an instance, once its root is unmounted again when it does not run."""
    text = daemon.request("GET", f"/1.0/instances/{name}/files?path=/note").body.decode()
    if daemon.request("GET", f"/1.0/instances/{name}").metadata["status"] == "Stopped":
        place = f"{daemon.state}/storage-pools/default/containers/{name}/rootfs "
        eventually(lambda: place not in Path("/proc/self/mountinfo").read_text(), what="the root to be unmounted")
    return text
