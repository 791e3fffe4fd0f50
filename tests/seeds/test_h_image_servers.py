"""Rows C5, C11, H8, H17, H32, H33: images from servers on the network.

The servers have the names that users type; a proxy of ours leads them all to loopback.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import home, watched
from tests.harness import images, processes
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.image_tree import Tree
from tests.harness.network import on_network
from tests.harness.processes import REPOSITORY, Done, eventually
from tests.harness.proxy import Proxy, leading_to
from tests.harness.web import Request, Web, serving

UBUNTU, STGRABER = "cloud-images.ubuntu.com", "dl.stgraber.org"


@dataclass
class Net:
    """A daemon, a client and the servers that they can reach."""

    daemon: Daemon
    web: Web
    proxy: Proxy
    ubuntu: Tree
    lxc: Lxc

    def __call__(self, line: str) -> Done:
        """What is typed."""
        env = {**self.lxc.env, "PATH": f"{REPOSITORY / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return processes.run(["sh", "-c", line], env=env)

    def fetched(self) -> list[str]:
        """The files of images that the server was asked for."""
        return [path for method, path, _ in self.web.seen if method == "GET" and "/images/" in path]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with serving(UBUNTU, STGRABER) as web, leading_to(web.port) as proxy:
        authorities = tmp_path / "authorities.pem"
        authorities.write_text(web.certificate)
        env = {"SSL_CERT_FILE": str(authorities)}
        for daemon in watched(lambda daemon: daemon.start().initialise(), Daemon(env=env)):
            daemon.request("PATCH", "/1.0", {"config": {"core.proxy_https": proxy.url}})
            client = {**daemon.env, "https_proxy": proxy.url}
            ubuntu = Tree(web, tmp_path, below="/releases", aliases="14.04,t,trusty,default")
            yield Net(daemon, web, proxy, ubuntu, Lxc(OURS, client, home(tmp_path / "lxc")))


def test_c5_the_second_launch_only_checks_that_the_image_is_fresh(net: Net) -> None:
    net.ubuntu.add("20260101")
    assert "Starting c1" in net("lxc launch ubuntu:14.04 c1").ok().stdout
    assert len(net.fetched()) == 2
    assert set(net.proxy.names) == {f"{UBUNTU}:443"}
    net.web.forget()
    net("lxc launch ubuntu:14.04 c2").ok()
    assert net.fetched() == []
    assert "/releases/streams/v1/images.json" in [path for _, path, _ in net.web.seen]


def test_c11_an_unused_cached_image_is_updated_and_after_ten_days_removed(net: Net) -> None:
    net.ubuntu.add("20260101")
    net("lxc launch ubuntu:14.04 c1 && lxc delete --force c1").ok()
    new = net.ubuntu.add("20260102")
    net.daemon.restart()
    eventually(lambda: net("lxc image list -f csv -c F").ok().stdout.split() == [new], what="the update")
    net.daemon.stop()
    with sqlite3.connect(net.daemon.state / "database/lightervisor.db") as rows:
        old = "2020-01-01T00:00:00+00:00"
        rows.execute("update images set last_used_at = ?, uploaded_at = ?", (old, old))
    rows.close()
    net.daemon.start()
    eventually(lambda: net("lxc image list -f csv").ok().stdout == "", what="the cached image to be removed")


def test_h8_info_of_an_image_that_is_kept_up_to_date(net: Net) -> None:
    net.ubuntu.add("20260101")
    net("lxc image copy ubuntu:14.04 local: --alias ubuntu --auto-update").ok()
    text = net("lxc image info ubuntu").ok().stdout
    lines = ["Auto update: enabled", "Source:", f"    Server: https://{UBUNTU}/releases", "    Protocol: simplestreams"]
    for line in (*lines, "    Alias: 14.04"):
        assert f"\n{line}\n" in text, text


@pytest.fixture
def image(net: Net, tmp_path: Path) -> Path:
    """An image file on the web server, at /images/box.tar.gz."""
    file = images.unified(tmp_path / "box.tar.gz", metadata=images.METADATA + f"  mark: {tmp_path.name}\n")
    net.web.pages["/images/box.tar.gz"] = file
    return file


def test_h17_import_of_a_url(net: Net, image: Path) -> None:
    fingerprint = hashlib.sha256(image.read_bytes()).hexdigest()
    headers = {"LXD-Image-Hash": fingerprint, "LXD-Image-URL": f"https://{STGRABER}/images/box.tar.gz"}
    net.web.pages["/lxd"] = lambda request: request.answer(200, b"", headers)
    done = net(f"lxc image import https://{STGRABER}/lxd --alias busybox-amd64").ok()
    assert f"Image imported with fingerprint: {fingerprint}" in done.stdout
    assert "busybox-amd64" in net("lxc image list").ok().stdout
    method, path, sent = net.web.seen[0]
    assert (method, path) == ("HEAD", "/lxd")
    assert sent["lxd-server-architectures"].split(", ")[0] == os.uname().machine
    assert sent["lxd-server-version"].startswith("5.0")
    net("lxc launch busybox-amd64 c1").ok()


def test_h33_what_the_page_says_may_depend_on_who_asks(net: Net, image: Path) -> None:
    fingerprint = hashlib.sha256(image.read_bytes()).hexdigest()

    def dynamic(request: Request) -> None:
        offered = os.uname().machine in request.headers.get("LXD-Server-Architectures", "").split(", ")
        headers = {"LXD-Image-Hash": fingerprint, "LXD-Image-URL": f"https://{UBUNTU}/images/box.tar.gz"}
        request.answer(200, b"", headers if offered else {})

    net.web.pages["/dynamic"] = dynamic
    net(f"lxc image import https://{UBUNTU}/dynamic --alias dynamic").ok()


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "Missing LXD-Image-Hash header"),
        ({"LXD-Image-Hash": "0" * 64}, "Missing LXD-Image-URL header"),
        ({"LXD-Image-Hash": "../../x", "LXD-Image-URL": "/images/box.tar.gz"}, "it is not a sha256"),
        ({"LXD-Image-Hash": "0" * 64, "LXD-Image-URL": "/images/box.tar.gz"}, "Image fingerprint doesn't match"),
        ({"LXD-Image-Hash": "0" * 64, "LXD-Image-URL": "file:///etc/shadow"}, "only https:// is read"),
        ({"LXD-Image-Hash": "0" * 64, "LXD-Image-URL": "http://127.0.0.1/x"}, "only https:// is read"),
    ],
)
def test_h33_pages_that_cannot_be_believed(net: Net, image: Path, headers: dict[str, str], text: str) -> None:
    net.web.pages["/bad"] = lambda request: request.answer(200, b"", headers)
    net(f"lxc image import https://{UBUNTU}/bad").failed(text)
    assert net("lxc image list -f csv").ok().stdout == ""
    assert [entry.name for entry in (net.daemon.state / "images").iterdir() if entry.is_file()] == []


def test_h32_a_public_server_shows_and_gives_public_images_only(net: Net, tmp_path: Path) -> None:
    for name in ("open", "closed"):
        file = images.unified(tmp_path / f"{name}.tar.gz", metadata=images.METADATA + f"  mark: {name}\n")
        net(f"lxc image import {file} --alias {name} {'--public' if name == 'open' else ''}").ok()
    for other in watched(lambda daemon: daemon.start().initialise()):
        with on_network(net.daemon) as network:
            guest = Lxc(OURS, other.env, home(tmp_path / "guest"))
            guest("remote", "add", "some", network.address, "--public", "--accept-certificate").ok()
            listed = guest("image", "list", "some:", "-f", "csv", "-c", "l").ok().stdout
            assert listed.split() == ["open"]
            guest("launch", "some:open", "c1").ok()
            guest("launch", "some:closed", "c2").failed("not found")
            assert other.instance_names() == ["c1"]
