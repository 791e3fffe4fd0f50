"""Image servers made by lxd-simplestreams, read by every client and daemon that there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import home, watched
from tests.harness import peer
from tests.harness.client_lxc import OURS, STOCK, Lxc
from tests.harness.daemon import Daemon
from tests.harness.image_servers import HERE, IMAGES, UBUNTU, ImageServers, running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageServers]:
    with running(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.mark.parametrize("product", [peer.LXD, peer.INCUS], ids=["lxd", "incus"])
def test_the_real_ones_launch_from_our_tree(servers: ImageServers, product: peer.Product) -> None:
    if not product.daemon.exists():
        pytest.skip(f"{product.daemon} is not installed")
    with peer.running(product, servers.env) as real:
        real("remote", "add", "x", servers.webs[IMAGES].url, "--protocol=simplestreams").ok()
        offered = real("image", "list", "x:", "-f", "csv", "-c", "l").ok().stdout
        assert offered.splitlines() == ["centos/7 (1 more)", "gentoo/current (1 more)", "kali (3 more)"]
        # Privileged: which ids this host gives to root is not what is tested.
        real("launch", "x:kali", "c1", "-c", "security.privileged=true").ok()
        assert real("list", "-f", "csv", "-c", "ns").ok().stdout == "c1,RUNNING\n"
        assert real("exec", "c1", "--", "cat", "/etc/hostname").ok().stdout != ""


@pytest.mark.parametrize(
    "words",
    [
        ("image", "list", "ubuntu:", "-f", "csv"),
        ("image", "list", "ubuntu:", "-f", "yaml"),
        ("image", "list", "ubuntu:", "lts", "-c", "lLfFpdatsu"),
        ("image", "list", "ubuntu:", "release=16.04", "-f", "compact"),
        ("image", "show", "ubuntu:lts"),
        ("image", "alias", "list", "ubuntu:"),
        ("image", "get-property", "ubuntu:lts", "os"),
    ],
    ids=" ".join,
)
def test_ours_prints_what_the_stock_client_prints(
    servers: ImageServers, tmp_path: Path, words: tuple[str, ...]
) -> None:
    if not STOCK.exists():
        pytest.skip("this distribution has no package lxd-client")
    said = [Lxc(program, servers.env, home(tmp_path / program.parent.name))(*words).ok() for program in (OURS, STOCK)]
    assert said[0].stdout.replace("\r", "") == said[1].stdout.replace("\r", "")


def test_the_daemon_asks_again_and_not_for_what_it_has(servers: ImageServers, tmp_path: Path) -> None:
    for daemon in watched(lambda daemon: daemon.start().initialise(), Daemon(env=servers.env)):
        lxc = Lxc(OURS, daemon.env, home(tmp_path / "lxc"))
        lxc("image", "copy", "ubuntu:16.04", "local:", "--alias", "old", "--auto-update", "--public").ok()
        before = len(files(servers))
        assert lxc("image", "refresh", "old").ok().stdout == "Image already up to date.\n"
        assert len(files(servers)) == before
        (image,) = json.loads(lxc("image", "list", "-f", "json").ok().stdout)
        assert image["update_source"]["alias"] == "16.04"
        assert image["properties"]["architecture"] == HERE


def files(servers: ImageServers) -> list[str]:
    return [path for path in servers.seen(UBUNTU) if "/images/" in path]


def test_a_daemon_without_a_way_there_gets_an_image_through_the_client(
    servers: ImageServers, daemon: Daemon, name: str, tmp_path: Path
) -> None:
    lxc = Lxc(OURS, {**daemon.env, **servers.env}, home(tmp_path / "lxc"))
    lxc("image", "copy", "ubuntu:18.04", "local:").failed()
    lxc("image", "copy", "ubuntu:18.04", "local:", "--mode", "relay", "--alias", "t-relayed", "--copy-aliases").ok()
    lxc("launch", "t-relayed", name).ok()
    assert "    - bionic\n" in lxc("image", "info", "18.04").ok().stdout
    lxc("image", "delete", "t-relayed").ok()
