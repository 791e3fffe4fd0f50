"""Images between servers of LXD's API: ours and the real one, public or opened by a secret, pulled or pushed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import watched
from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Answer, Daemon
from tests.harness.network import Network, on_network


@pytest.fixture(scope="module")
def other() -> Iterator[Daemon]:
    """A second server."""
    yield from watched(lambda daemon: daemon.start().initialise())


@pytest.fixture
def source(other: Daemon) -> Iterator[Network]:
    """The second server, on the network; its images are deleted afterwards."""
    with on_network(other) as network:
        yield network
    delete_images(other, set())


@pytest.fixture
def target(daemon: Daemon) -> Iterator[Network]:
    """The session's server, on the network; images that came are deleted afterwards."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    with on_network(daemon) as network:
        yield network
    delete_images(daemon, before)


def delete_images(daemon: Daemon, kept: set[str]) -> None:
    for url in set(daemon.request("GET", "/1.0/images").metadata) - kept:
        daemon.operation("DELETE", url)
    assert not list((daemon.state / "images/.incoming").iterdir())


def certificate(network: Network) -> str:
    """What the server shows, as PEM."""
    return ssl.get_server_certificate(("127.0.0.1", network.port))


def add(daemon: Daemon, folder: Path, kind: str, *, public: bool) -> str:
    """An image of its own, unified or split, called t-image; its fingerprint."""
    metadata = images.METADATA + f"  mark: {folder.name}-{kind}\n"
    if kind == "unified":
        content = images.unified(folder / "image.tar.gz", metadata=metadata).read_bytes()
        answer = daemon.request("POST", "/1.0/images", content)
        url = answer.envelope["operation"]
        done = daemon.request("GET", f"{url}/wait").metadata
    else:
        meta, rootfs = images.split(folder, metadata=metadata)
        form = multipart({"metadata": meta.read_bytes(), "rootfs": rootfs.read_bytes()})
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = daemon.request("POST", "/1.0/images", form, headers=headers)
        done = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
    assert done["err"] == "", done
    fingerprint = str(done["metadata"]["fingerprint"])
    alias = {"name": "t-image", "target": fingerprint}
    assert daemon.request("POST", "/1.0/images/aliases", alias).status == 201
    if public:
        daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": True})
    return fingerprint


def multipart(parts: dict[str, bytes]) -> bytes:
    """A form with the boundary b."""
    body = b""
    for name, data in parts.items():
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + b"--b--\r\n"


def pulled(network: Network, **more: str) -> dict[str, str]:
    """What a request says to fetch from there."""
    known = {"type": "image", "mode": "pull", "protocol": "lxd", "server": f"https://{network.address}"}
    return {**known, "certificate": certificate(network), **more}


def secret_of(daemon: Daemon, fingerprint: str) -> str:
    answer = daemon.request("POST", f"/1.0/images/{fingerprint}/secret", {})
    assert answer.status == 202
    token = answer.metadata
    assert (token["class"], token["description"]) == ("token", "Image download token")
    assert token["resources"] == {"images": [f"/1.0/images/{fingerprint}"]}
    return str(token["metadata"]["secret"])


@pytest.mark.parametrize("kind", ["unified", "split"])
def test_a_public_image_is_launched_from_its_alias(
    daemon: Daemon, other: Daemon, source: Network, target: Network, tmp_path: Path, kind: str, name: str, lxc: Lxc
) -> None:
    fingerprint = add(other, tmp_path, kind, public=True)
    post = {"name": name, "source": pulled(source, alias="t-image")}
    assert daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    lxc("start", name).ok()
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"], image["public"], image["aliases"]) == (True, True, False, [])
    assert image["update_source"] == {
        "alias": "t-image", "certificate": certificate(source), "protocol": "lxd",
        "server": f"https://{source.address}", "image_type": "container",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["unified", "split"])
def test_a_private_image_needs_a_secret_that_works_once(
    daemon: Daemon, other: Daemon, source: Network, target: Network, tmp_path: Path, kind: str
) -> None:
    fingerprint = add(other, tmp_path, kind, public=False)
    said = pulled(source, fingerprint=fingerprint)
    refused = daemon.operation("POST", "/1.0/images", {"source": said})
    assert refused["err"] == "Failed getting remote image info: Image not found"
    wrong = daemon.operation("POST", "/1.0/images", {"source": {**said, "secret": "0" * 64}})
    assert wrong["err"] == refused["err"]
    secret = secret_of(other, fingerprint)
    assert daemon.operation("POST", "/1.0/images", {"source": {**said, "secret": secret}})["err"] == ""
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"], "update_source" in image) == (False, False, False)
    for path in ("", "/export"):
        url = f"/1.0/images/{fingerprint}{path}?secret={secret}"
        assert source.request(None, "GET", url).status == 404, path


def test_a_secret_opens_nothing_else(other: Daemon, source: Network, tmp_path: Path) -> None:
    fingerprint = add(other, tmp_path, "unified", public=False)
    secret = secret_of(other, fingerprint)
    (tmp_path / "b").mkdir()
    other.request("DELETE", "/1.0/images/aliases/t-image")
    another = add(other, tmp_path / "b", "unified", public=False)
    assert source.request(None, "GET", f"/1.0/images/{another}/export?secret={secret}").status == 404
    assert source.request(None, "GET", f"/1.0/images/{fingerprint}?secret={secret}").status == 200
    answer = source.request(None, "GET", f"/1.0/images/{fingerprint}/export?secret={secret}")
    assert answer.status == 200


@pytest.mark.parametrize("kind", ["unified", "split"])
def test_an_image_is_pushed_to_whoever_gave_a_secret(
    daemon: Daemon, other: Daemon, source: Network, target: Network, tmp_path: Path, kind: str
) -> None:
    fingerprint = add(other, tmp_path, kind, public=False)
    promise = {
        "source": {"mode": "push", "type": "image", "fingerprint": fingerprint},
        "aliases": [{"name": "t-pushed", "description": "came"}], "public": True, "properties": {"colour": "blue"},
    }  # fmt: skip
    token = daemon.request("POST", "/1.0/images", promise).metadata
    assert token["class"] == "token"
    post = {
        "target": f"https://{target.address}", "secret": token["metadata"]["secret"],
        "certificate": certificate(target),
    }  # fmt: skip
    assert other.operation("POST", f"/1.0/images/{fingerprint}/export", post)["err"] == ""
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert image["aliases"] == [{"name": "t-pushed", "description": "came"}]
    assert (image["public"], image["properties"]["colour"], image["cached"]) == (True, "blue", False)
    again = other.operation("POST", f"/1.0/images/{fingerprint}/export", post)
    assert again["err"] == "not authorized"


def test_nothing_is_pushed_without_its_secret(target: Network, daemon: Daemon, tmp_path: Path) -> None:
    content = images.unified(tmp_path / "image.tar.gz", metadata=images.METADATA + f"  m: {tmp_path}\n").read_bytes()
    before = daemon.request("GET", "/1.0/images").metadata
    for headers in ({}, {"X-LXD-secret": "0" * 64, "X-LXD-fingerprint": "0" * 64}):
        answer = target.request(None, "POST", "/1.0/images", content, headers=headers)
        assert (answer.status, answer.error) == (403, "not authorized")
    token = daemon.request("POST", "/1.0/images", {"source": {"mode": "push", "fingerprint": "0" * 64}}).metadata
    headers = {"X-LXD-secret": token["metadata"]["secret"], "X-LXD-fingerprint": "0" * 64}
    answer = target.request(None, "POST", "/1.0/images", content, headers=headers)
    assert answer.status == 202
    done = waited(target, answer)
    assert done["err"].startswith("Image fingerprint doesn't match. Got ")
    assert daemon.request("GET", "/1.0/images").metadata == before


def waited(network: Network, answer: Answer) -> dict[str, Any]:
    """The end of an operation, as a guest with its secret sees it."""
    envelope = answer.envelope
    secret = envelope["metadata"]["metadata"]["secret"]
    ended: dict[str, Any] = network.request(None, "GET", f"{envelope['operation']}/wait?secret={secret}").metadata
    return ended


@pytest.fixture
def remote(either: Lxc, other: Daemon, source: Network) -> str:
    """The second server as a remote of the client, which trusts it."""
    other.request("PATCH", "/1.0", {"config": {"core.trust_password": "secret"}})
    either("remote", "add", "second", source.address, "--accept-certificate", "--password", "secret").ok()
    return "second"


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_the_client_copies_in_every_mode(
    daemon: Daemon, other: Daemon, source: Network, target: Network, remote: str, either: Lxc, tmp_path: Path, mode: str
) -> None:
    fingerprint = add(other, tmp_path, "split", public=False)
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": "secret"}})
    either("remote", "add", "first", target.address, "--accept-certificate", "--password", "secret").ok()
    done = either("image", "copy", f"{remote}:t-image", "first:", "--mode", mode, "--copy-aliases", "--public")
    assert "Image copied successfully!" in done.ok().stdout
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["public"], [alias["name"] for alias in image["aliases"]]) == (True, ["t-image"])
    assert image["properties"]["description"] == "test busybox"


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
def test_the_client_launches_from_a_remote(
    daemon: Daemon, other: Daemon, remote: str, either: Lxc, tmp_path: Path, name: str, public: bool
) -> None:
    fingerprint = add(other, tmp_path, "unified", public=public)
    either("launch", f"{remote}:t-image", name).ok()
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"]) == (True, public)
    either("delete", "--force", name).ok()
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")
