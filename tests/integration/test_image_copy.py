"""Images from server to server, through a remote on the other's socket, and from what can be built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon


@pytest.fixture(autouse=True)
def tidy(daemon: Daemon) -> Iterator[None]:
    """Delete the images that a test added."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)


@pytest.fixture
def other(fresh_daemon: Daemon, lxc: Lxc) -> str:
    """The name of a remote that is another server."""
    lxc("remote", "add", "other", fresh_daemon.state / "unix.socket").ok()
    return "other"


def marked(tmp_path: Path) -> str:
    return images.METADATA + f"  mark: {tmp_path.name}\n"


@pytest.mark.parametrize("kind", ["unified", "split"])
def test_an_image_is_the_same_on_the_other_server(lxc: Lxc, other: str, tmp_path: Path, kind: str) -> None:
    metadata = marked(tmp_path)
    if kind == "split":
        fingerprint = lxc.import_image(*images.split(tmp_path, metadata=metadata), alias="t-copied")
    else:
        fingerprint = lxc.import_image(images.unified(tmp_path / "image.tar.gz", metadata=metadata), alias="t-copied")
    lxc("image", "set-property", "t-copied", "colour", "blue").ok()
    done = lxc("image", "copy", "t-copied", f"{other}:", "--copy-aliases", "--alias", "more", "--public").ok()
    assert "Image copied successfully!" in done.stdout
    info = lxc("image", "info", f"{other}:more").ok().stdout
    for line in (f"Fingerprint: {fingerprint}", "Public: yes", "    colour: blue", "    - more", "    - t-copied"):
        assert f"{line}\n" in info
    lxc("image", "copy", f"{other}:more", "local:", "--alias", "back").ok()
    assert lxc.images()[fingerprint] == ["back", "t-copied"]


def test_what_can_be_built_is_copied_into_the_store(lxc: Lxc) -> None:
    lxc("image", "copy", "build:busybox", "local:", "--alias", "t-built", "--public").ok()
    info = lxc("image", "info", "t-built").ok().stdout
    for line in ("Public: yes", "Cached: no", "    Protocol: build"):
        assert f"{line}\n" in info
    lxc("image", "copy", "build:nothing", "local:").failed("Image not found")


def test_a_copy_needs_another_server(lxc: Lxc, image: str, other: str) -> None:
    lxc("image", "copy", image, "local:").failed("The source and target servers must be different")
    lxc("image", "copy", image, f"{other}:name").failed("Can't provide a name for the target image")
    lxc("image", "copy", image, f"{other}:", "--mode", "pull").failed("isn't listening on the network")


def test_launching_from_the_other_servers_image_is_refused_clearly(lxc: Lxc, image: str, name: str, other: str) -> None:
    lxc("launch", f"local:{image}", f"{other}:{name}").failed("doesn't listen on the network")
