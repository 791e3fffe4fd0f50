"""For which machine an instance is: names, and those that this host cannot run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.daemon import Daemon

FOREIGN = "s390x"
REFUSED = "Failed creating instance record: Requested architecture isn't supported by this host"
pytestmark = pytest.mark.skipif(os.uname().machine == FOREIGN, reason="it would not be foreign")


def test_a_foreign_or_unknown_architecture_is_refused(daemon: Daemon, name: str) -> None:
    body = {"name": name, "source": {"type": "none"}}
    foreign = daemon.request("POST", "/1.0/instances", {**body, "architecture": FOREIGN})
    assert foreign.status == 400
    assert foreign.error.startswith(REFUSED)
    unknown = daemon.request("POST", "/1.0/instances", {**body, "architecture": "pdp11"})
    assert unknown.error.startswith("Architecture isn't supported: pdp11")
    assert daemon.request("GET", f"/1.0/instances/{name}").status == 404


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="amd64 is the other name of x86_64")
def test_a_distributions_word_becomes_the_kernels(daemon: Daemon, name: str) -> None:
    url = f"/1.0/instances/{name}"
    daemon.operation("POST", "/1.0/instances", {"name": name, "architecture": "amd64", "source": {"type": "none"}})
    assert daemon.request("GET", url).metadata["architecture"] == "x86_64"
    assert daemon.request("PATCH", url, {"architecture": "i386"}).status == 200
    assert daemon.request("GET", url).metadata["architecture"] == "i686"
    assert daemon.request("PATCH", url, {"architecture": "pdp11"}).status == 400
    assert daemon.request("GET", url).metadata["architecture"] == "i686"
    daemon.operation("DELETE", url)


def test_the_image_of_a_foreign_machine_is_kept_but_not_used(daemon: Daemon, name: str, tmp_path: Path) -> None:
    text = images.METADATA.replace(os.uname().machine, FOREIGN)
    archive = images.archive_of(tmp_path / "foreign.tar.gz", {**images.TINY, "metadata.yaml": text.encode()})
    fingerprint = daemon.operation("POST", "/1.0/images", archive.read_bytes())["metadata"]["fingerprint"]
    body = {"name": name, "source": {"type": "image", "fingerprint": fingerprint}}
    answer = daemon.request("POST", "/1.0/instances", body)
    assert answer.status == 400
    assert answer.error.startswith(REFUSED)
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")
