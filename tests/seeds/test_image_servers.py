"""Rows C1-C4, C6, H2, H3, H7, H9-H14, H34: images of ubuntu:, images: and own remotes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import watched
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.image_servers import HERE, IMAGES, OTHER, UBUNTU, ImageServers, running
from tests.harness.processes import eventually
from tests.seeds.conftest import Shell


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageServers]:
    with running(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture(scope="module")
def daemon(servers: ImageServers) -> Iterator[Daemon]:
    """A daemon that finds the servers; what it caches stays for the next test."""
    yield from watched(lambda daemon: daemon.start().initialise(), Daemon(env=servers.env))


@pytest.fixture(autouse=True)
def images_remote(lxc: Lxc) -> None:
    """The remote `images:` that LXD's client writes into a new configuration."""
    lxc("remote", "add", "images", f"https://{IMAGES}", "--protocol", "simplestreams").ok()


@pytest.fixture
def empty_store(daemon: Daemon) -> None:
    """No images in the store, as on a new server."""
    for url in daemon.request("GET", "/1.0/images").metadata:
        daemon.operation("DELETE", url)


def made_from(daemon: Daemon, name: str, key: str) -> str:
    """What an instance's configuration says of the image it was made from."""
    return str(daemon.request("GET", f"/1.0/instances/{name}").metadata["config"][key])


def test_c1_the_first_container(shell: Shell, lxc: Lxc, name: str, empty_store: None) -> None:
    done = shell(f"lxc launch ubuntu:16.04 {name}").ok()
    assert done.stdout.splitlines()[-2:] == [f"Creating {name}", f"Starting {name}"]

    def has_address() -> bool:
        row = shell(f"lxc list {name} -f csv -c s4").ok().stdout
        return row.startswith("RUNNING,") and row.endswith(" (eth0)\n")

    eventually(has_address, what="an address")


def test_c2_the_machine_s_architecture_is_chosen(shell: Shell, daemon: Daemon, name: str) -> None:
    shell(f"lxc launch ubuntu:14.04 {name}").ok()
    assert made_from(daemon, name, "image.architecture") == HERE


@pytest.mark.parametrize("alias", ["xenial", "trusty", f"trusty/{HERE}", "lts"])
def test_c3_aliases_by_code_name_lts_and_architecture(shell: Shell, daemon: Daemon, name: str, alias: str) -> None:
    shell(f"lxc launch ubuntu:{alias} {name}").ok()
    assert made_from(daemon, name, "image.release") == ("14.04" if alias.startswith("trusty") else "16.04")


@pytest.mark.parametrize("image", ["ubuntu:18.04", "images:kali"])
def test_c4_both_servers(shell: Shell, lxc: Lxc, name: str, image: str) -> None:
    shell(f"lxc launch {image} {name}").ok()
    assert lxc.statuses()[name] == "Running"


@pytest.mark.parametrize("length", [12, 64])
def test_c6_fingerprints_full_and_short(
    shell: Shell, daemon: Daemon, name: str, empty_store: None, length: int
) -> None:
    fingerprint = shell("lxc image list ubuntu:18.04 -f csv -c F").ok().stdout.strip()
    shell(f"lxc launch ubuntu:{fingerprint[:length]} {name}").ok()
    assert made_from(daemon, name, "volatile.base_image") == fingerprint


def test_h2_all_images_of_a_remote(shell: Shell, servers: ImageServers) -> None:
    rows = shell("lxc image list ubuntu: -f csv").ok().stdout.splitlines()
    assert len(rows) == 7
    assert "CONTAINER" in shell("lxc image list ubuntu:").ok().stdout
    assert set(servers.seen(UBUNTU)) >= {"/releases/streams/v1/index.json", "/releases/streams/v1/images.json"}


def test_h3_a_part_of_an_alias(shell: Shell) -> None:
    rows = shell("lxc image list images:cent -f csv -c lt").ok().stdout
    assert rows == "centos/7 (1 more),CONTAINER\n"


def test_h7_info_of_another_architecture(shell: Shell) -> None:
    here = shell("lxc image info ubuntu:xenial").ok().stdout
    other = shell(f"lxc image info ubuntu:lts/{OTHER}").ok().stdout
    assert f"    architecture: {HERE}\n" in here
    assert f"    architecture: {OTHER}\n" in other
    assert "Type: container\nPublic: yes\n" in other
    for alias in ("16.04", "xenial", "lts"):
        assert f"    - {alias}/{OTHER}\n" in other


def test_h9_all_aliases(shell: Shell) -> None:
    text = shell("lxc image alias list images:").ok().stdout
    assert [word.strip() for word in text.splitlines()[1].strip("| ").split("|")] == [
        "ALIAS", "FINGERPRINT", "TYPE", "DESCRIPTION",
    ]  # fmt: skip
    rows = shell("lxc image alias list images: -f csv").ok().stdout.splitlines()
    assert [row.partition(",")[0] for row in rows] == [
        "centos/7", f"centos/7/{HERE}", "gentoo/current", f"gentoo/current/{HERE}",
        "kali", f"kali/{HERE}", "kali/current", f"kali/current/{HERE}",
    ]  # fmt: skip


def test_h10_copy_with_an_alias_and_in_public(shell: Shell, lxc: Lxc, empty_store: None) -> None:
    done = shell("lxc image copy ubuntu:14.04 local: --alias first_image --public").ok()
    assert "Image copied successfully!" in done.stdout
    assert list(lxc.images().values()) == [["first_image"]]
    assert "Public: yes\n" in shell("lxc image info first_image").ok().stdout


def test_h11_copy_without_an_alias(shell: Shell, lxc: Lxc, empty_store: None) -> None:
    shell("lxc image copy ubuntu:14.04 local:").ok()
    ((fingerprint, aliases),) = lxc.images().items()
    text = shell(f"lxc image info {fingerprint}").ok().stdout
    assert aliases == []
    for line in ("Cached: no", "Auto update: disabled", "    Protocol: simplestreams", "    Alias: 14.04"):
        assert f"{line}\n" in text


def test_h12_copy_of_an_old_release(shell: Shell, lxc: Lxc, empty_store: None) -> None:
    shell("lxc image copy ubuntu:12.04 local: --alias old-ubuntu").ok()
    assert list(lxc.images().values()) == [["old-ubuntu"]]


def test_h13_copy_with_the_aliases_of_the_source(shell: Shell, lxc: Lxc, name: str, empty_store: None) -> None:
    shell("lxc image copy ubuntu:15.10 local: --copy-aliases").ok()
    assert list(lxc.images().values()) == [sorted(["15.10", f"15.10/{HERE}", "wily", f"wily/{HERE}"])]
    shell(f"lxc launch 15.10 {name}").ok()


def test_h14_copy_that_is_kept_up_to_date(shell: Shell, lxc: Lxc, empty_store: None) -> None:
    shell(f"lxc image copy images:gentoo/current/{HERE} local: --alias gentoo --auto-update").ok()
    text = shell("lxc image info gentoo").ok().stdout
    assert f"Auto update: enabled\nSource:\n    Server: https://{IMAGES}\n    Protocol: simplestreams\n" in text
    assert f"    Alias: gentoo/current/{HERE}\n" in text
    assert "Image already up to date." in shell("lxc image refresh gentoo").ok().stdout


def test_h34_an_own_server(shell: Shell, daemon: Daemon, servers: ImageServers, name: str) -> None:
    shell(f"lxc remote add x {servers.webs[IMAGES].url} --protocol simplestreams").ok()
    shell(f"lxc launch x:kali {name}").ok()
    fingerprint = shell("lxc image list x:kali -f csv -c F").ok().stdout.strip()
    assert made_from(daemon, name, "volatile.base_image") == fingerprint
    assert "Creating" in shell(f"lxc init x:{fingerprint[:12]} {name}-2").ok().stdout
    shell(f"lxc delete {name}-2").ok()


@pytest.mark.parametrize("image", ["ubuntu:9.10", "ubuntu:"])
def test_an_image_that_is_not_there_fails_as_with_lxd(either: Lxc, name: str, image: str) -> None:
    either("launch", image, name).failed("Error: Failed instance creation: The requested image couldn't be found")
