"""One daemon of each kind, each trusting the same client certificate, and the clients that hold it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import discard, home, watched
from tests.harness import images
from tests.harness.certificates import Identity, make
from tests.harness.client_lxc import OURS, STOCK, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import Network, on_network
from tests.harness.peers import INCUS, KINDS, LXD, Kind, Peer
from tests.harness.web import Web, serving


@dataclass(frozen=True)
class Site:
    """A daemon and where it listens."""

    daemon: Daemon
    network: Network

    @property
    def url(self) -> str:
        """What a remote is added with."""
        return f"https://{self.network.address}"

    def image(self, name: str) -> dict[str, Any]:
        """The image with this alias or fingerprint."""
        alias = self.daemon.request("GET", f"/1.0/images/aliases/{name}")
        fingerprint = alias.metadata["target"] if alias.status == 200 else name
        return self.daemon.request("GET", f"/1.0/images/{fingerprint}").metadata

    def fingerprints(self) -> list[str]:
        """All its images."""
        return [url.rpartition("/")[2] for url in self.daemon.request("GET", "/1.0/images").metadata]

    def add(self, *files: Path, alias: str = "", public: bool = False) -> str:
        """Put an image of one file into its store; the fingerprint."""
        (file,) = files
        headers = {"X-LXD-public": str(int(public)), "X-Incus-public": str(int(public))}
        started = self.daemon.request("POST", "/1.0/images", file.read_bytes(), headers=headers)
        finished = self.daemon.request("GET", f"{started.envelope['operation']}/wait").metadata
        assert finished["err"] == "", finished
        fingerprint = finished["metadata"]["fingerprint"]
        if alias:
            self.name(alias, fingerprint)
        return fingerprint

    def name(self, alias: str, fingerprint: str) -> None:
        """Let an alias stand for an image, whatever it stood for."""
        self.daemon.request("DELETE", f"/1.0/images/aliases/{alias}")
        named = self.daemon.request("POST", "/1.0/images/aliases", {"name": alias, "target": fingerprint})
        assert named.status == 201, named.error

    def status(self, name: str) -> str:
        """How an instance is."""
        return self.daemon.request("GET", f"/1.0/instances/{name}").metadata["status"]

    def tidy(self) -> None:
        """Delete its instances and images."""
        for name in self.daemon.instance_names():
            discard(self.daemon, name)
        for url in self.daemon.request("GET", "/1.0/images").metadata:
            self.daemon.operation("DELETE", url)


@pytest.fixture(scope="package")
def web() -> Iterator[Web]:
    """The web server that every daemon believes."""
    with serving() as server:
        yield server


@pytest.fixture(scope="package")
def authorities(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What SSL_CERT_FILE names."""
    file = tmp_path_factory.mktemp("authorities") / "authorities.pem"
    file.write_text(web.certificate)
    return file


@pytest.fixture(scope="package")
def identity() -> Identity:
    """The certificate that all daemons trust."""
    return make("root@peers")


def listening(daemon: Daemon, identity: Identity) -> Iterator[Site]:
    """The daemon on the network, trusting the certificate."""
    with on_network(daemon) as network:
        body = {"type": "client", "name": "peers", "certificate": base64.b64encode(identity.der).decode()}
        assert daemon.request("POST", "/1.0/certificates", body).status == 201
        yield Site(daemon, network)


@pytest.fixture(scope="package")
def our_daemon(authorities: Path) -> Iterator[Daemon]:
    """Our daemon."""
    yield from watched(lambda daemon: daemon.start().initialise(), Daemon(env={"SSL_CERT_FILE": str(authorities)}))


@pytest.fixture(scope="package")
def our_site(our_daemon: Daemon, identity: Identity) -> Iterator[Site]:
    """Our daemon on the network."""
    yield from listening(our_daemon, identity)


@pytest.fixture(scope="package", params=list(KINDS))
def peer(request: pytest.FixtureRequest, authorities: Path) -> Iterator[Peer]:
    """The real LXD, then Incus."""
    kind: Kind = KINDS[request.param]
    if not (kind.daemon.exists() and kind.client.exists()):
        pytest.skip(f"this distribution has no packages {kind.packages}")
    made = Peer(kind, certificates=authorities)
    for _ in watched(lambda _: made.start().initialise(), made):
        yield made


@pytest.fixture(scope="package")
def their_site(peer: Peer, identity: Identity) -> Iterator[Site]:
    """The peer on the network."""
    yield from listening(peer, identity)


@pytest.fixture
def ours(our_site: Site) -> Iterator[Site]:
    """Our daemon, with nothing in it."""
    yield our_site
    our_site.tidy()


@pytest.fixture
def theirs(their_site: Site) -> Iterator[Site]:
    """The peer, with nothing in it."""
    yield their_site
    their_site.tidy()


class Homes:
    """Clients on machines without a daemon, which know both servers as the remotes `ours` and `theirs`."""

    def __init__(self, folder: Path, identity: Identity, authorities: Path, ours: Site, theirs: Site) -> None:
        self._folder, self._identity, self._authorities = folder, identity, authorities
        self._remotes = {"ours": ours.url, "theirs": theirs.url}
        self._made: dict[str, Lxc] = {}

    def client(self, name: str) -> Lxc:
        """The client `lxc` (ours), `stock-lxc` or `incus`; the same one each time."""
        if name not in self._made:
            program = {"lxc": OURS, "stock-lxc": STOCK, "incus": INCUS.client}[name]
            if not program.exists():
                pytest.skip(f"this distribution has no {name}")
            place = home(self._folder / name)
            self._identity.write(place)
            nowhere = str(place / "nowhere")
            env = {LXD.state_variable: nowhere, INCUS.state_variable: nowhere, INCUS.conf_variable: str(place)}
            client = Lxc(program, {**env, "SSL_CERT_FILE": str(self._authorities)}, place)
            for remote, url in self._remotes.items():
                client("remote", "add", remote, url, "--accept-certificate").ok()
            self._made[name] = client
        return self._made[name]


@pytest.fixture(scope="package")
def homes(
    tmp_path_factory: pytest.TempPathFactory, identity: Identity, authorities: Path, our_site: Site, their_site: Site
) -> Homes:
    """The clients."""
    return Homes(tmp_path_factory.mktemp("homes"), identity, authorities, our_site, their_site)


@pytest.fixture(params=["lxc", "stock-lxc", "incus"])
def client(request: pytest.FixtureRequest, homes: Homes) -> Lxc:
    """Each of the three programs in turn."""
    return homes.client(request.param)


@pytest.fixture
def native(peer: Peer, homes: Homes) -> Lxc:
    """The peer's own client."""
    return homes.client("stock-lxc" if peer.kind is LXD else "incus")


@pytest.fixture
def lxc(homes: Homes) -> Lxc:
    """Our client."""
    return homes.client("lxc")


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """An image in one file that no other test has."""
    return images.unified(tmp_path / "image.tar.gz", metadata=marked())


def marked() -> str:
    """Metadata that no other image has."""
    return images.METADATA + f"  mark: {secrets.token_hex(8)}\n"
