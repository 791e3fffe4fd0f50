"""The image servers that guides name, as far as tests need them: ours, on loopback, found through a proxy.

Programs are told of them by `https_proxy` and `SSL_CERT_FILE`: what they connect to as cloud-images.ubuntu.com or
images.linuxcontainers.org is a server here with a certificate for that name, on a tree that lxd-simplestreams made.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.harness import images
from tests.harness.processes import REPOSITORY
from tests.harness.web import Web, serving

PROGRAM = REPOSITORY / "bin/lxd-simplestreams"
UBUNTU, IMAGES = "cloud-images.ubuntu.com", "images.linuxcontainers.org"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
OTHER = {"amd64": "arm64", "arm64": "amd64"}[HERE]


class Product(NamedTuple):
    """One image: where it is offered, what it is and what it is called."""

    server: str
    system: str
    release: str
    architecture: str
    aliases: str


OFFERED = (
    Product(UBUNTU, "Ubuntu", "12.04", HERE, "12.04,precise"),
    Product(UBUNTU, "Ubuntu", "14.04", HERE, "14.04,trusty"),
    Product(UBUNTU, "Ubuntu", "14.04", OTHER, "14.04,trusty"),
    Product(UBUNTU, "Ubuntu", "15.10", HERE, "15.10,wily"),
    Product(UBUNTU, "Ubuntu", "16.04", HERE, "16.04,xenial,lts"),
    Product(UBUNTU, "Ubuntu", "16.04", OTHER, "16.04,xenial,lts"),
    Product(UBUNTU, "Ubuntu", "18.04", HERE, "18.04,bionic"),
    Product(IMAGES, "Centos", "7", HERE, "centos/7"),
    Product(IMAGES, "Gentoo", "current", HERE, "gentoo/current"),
    Product(IMAGES, "Kali", "current", HERE, "kali,kali/current"),
)
_PLACES = {UBUNTU: "releases", IMAGES: "."}


class ImageServers(NamedTuple):
    """The servers while they run, and the environment in which programs find them."""

    env: dict[str, str]
    webs: dict[str, Web]

    def seen(self, server: str) -> list[str]:
        """What was asked of one of them."""
        return [path for _, path, _ in self.webs[server].seen]


@contextmanager
def running(folder: Path) -> Iterator[ImageServers]:
    """Make the trees and serve them."""
    with ExitStack() as stack:
        webs = {name: stack.enter_context(serving(name)) for name in _PLACES}
        root = _root(folder)
        for product in OFFERED:
            publish(folder, product, root)
        for name, web in webs.items():
            for file in (folder / name).rglob("*.*"):
                web.pages[f"/{file.relative_to(folder / name)}"] = file
        certificates = folder / "certificates.pem"
        certificates.write_text("".join(web.certificate for web in webs.values()))
        proxy = stack.enter_context(_proxy({name: web.port for name, web in webs.items()}))
        yield ImageServers({"https_proxy": proxy, "SSL_CERT_FILE": str(certificates)}, webs)


def _root(folder: Path) -> Path:
    path = folder / "rootfs.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as archive:
        images.busybox_rootfs(archive, "")
    return path


def publish(folder: Path, product: Product, root: Path) -> str:
    """Add an image to its server's tree; its fingerprint."""
    place = folder / product.server / _PLACES[product.server]
    place.mkdir(parents=True, exist_ok=True)
    properties = {
        "os": product.system, "release": product.release, "architecture": product.architecture,
        "variant": "default", "description": f"{product.system} {product.release} {product.architecture}",
    }  # fmt: skip
    text = f"architecture: {product.architecture}\ncreation_date: 1767312000\nproperties:\n"
    text += "".join(f'  {key}: "{value}"\n' for key, value in properties.items())
    metadata = images.archive_of(folder / "metadata.tar.xz", {"metadata.yaml": text.encode()})
    flags = [f"--alias={alias}" for alias in product.aliases.split(",")]
    words = [PROGRAM, "add", "--no-default-alias", *flags, metadata, root]
    done = subprocess.run(words, cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]


class _Tunnel(socketserver.StreamRequestHandler):
    """One CONNECT: what comes on either side goes to the other."""

    ports: dict[str, int]

    def handle(self) -> None:
        """Serve it."""
        words = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            continue
        host, _, port = words[1].rpartition(":") if words[:1] == ["CONNECT"] else ("", "", "")
        if host not in self.ports or port != "443":
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.ports[host])) as server:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
            back.start()
            _pump(self.connection, server)
            back.join(timeout=5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65_536):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextmanager
def _proxy(ports: dict[str, int]) -> Iterator[str]:
    """A proxy that knows these hosts and no other."""
    handler = type("Tunnel", (_Tunnel,), {"ports": ports})
    server = _Proxy(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
