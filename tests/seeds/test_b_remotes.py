"""Rows A10, B1-B7, B11: servers over the network, as they are typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.certificates import make
from tests.harness.daemon import Daemon
from tests.harness.network import Network, on_network
from tests.seeds.conftest import Shell

PASSWORD = "some-password"


@pytest.fixture
def network(daemon: Daemon) -> Iterator[Network]:
    """The session's daemon, listening on the network."""
    with on_network(daemon) as found:
        yield found


@pytest.fixture
def ask(daemon: Daemon, network: Network, shell: Shell) -> None:
    """Trust by password, as the articles set it up."""
    shell(f"lxc config set core.trust_password {PASSWORD}").ok()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[0] == "|"]


@pytest.mark.usefixtures("ask")
def test_a10_the_trust_password_is_stored_hashed_and_lets_clients_in(shell: Shell, network: Network) -> None:
    assert shell("lxc config get core.trust_password").ok().stdout == "true\n"
    guest, body = make(), {"type": "client", "password": PASSWORD}
    assert network.request(guest, "GET", "/1.0/instances").status == 403
    assert network.request(guest, "POST", "/1.0/certificates", {**body, "password": "true"}).status == 403
    assert network.request(guest, "POST", "/1.0/certificates", body).status == 201
    assert network.request(guest, "GET", "/1.0/instances").status == 200


def test_b1_b6_the_remotes_that_are_always_there(shell: Shell) -> None:
    table = rows(shell("lxc remote list").ok().stdout)
    assert table[0] == ["NAME", "URL", "PROTOCOL", "AUTH TYPE", "PUBLIC", "STATIC", "GLOBAL"]
    assert {row[0] for row in table} >= {"local (current)", "ubuntu", "ubuntu-daily"}


def test_b6_a_user_without_a_configuration_has_images(shell: Shell) -> None:
    table = rows(shell("LXD_CONF=$PWD/fresh lxc remote list").ok().stdout)
    assert {row[0] for row in table} >= {"images", "local (current)", "ubuntu", "ubuntu-daily"}


@pytest.mark.usefixtures("ask")
def test_b2_a_server_is_added_with_its_password(shell: Shell, network: Network) -> None:
    said = shell(f"lxc remote add foo {network.address}", stdin=f"y\n{PASSWORD}\n").ok().stdout
    assert said == (
        f"Certificate fingerprint: {network.fingerprint()}\n"
        "ok (y/n/[fingerprint])? Admin password (or token) for foo: Client certificate now trusted by server: foo\n"
    )
    shell("lxc list foo:").ok()


def test_b3_the_server_can_be_refused(shell: Shell, network: Network) -> None:
    said = shell(f"lxc remote add r1 localhost:{network.port}", stdin="n\n")
    said.failed("Error: Server certificate NACKed by user")
    assert said.status == 1
    assert f"Certificate fingerprint: {network.fingerprint()}" in said.stdout
    shell("lxc list r1:").failed("doesn't exist")


@pytest.mark.usefixtures("ask")
@pytest.mark.parametrize("remote", ["r1", "r1:"])
def test_b4_a_clients_certificate_is_added_on_another_server(
    shell: Shell, network: Network, daemon: Daemon, remote: str
) -> None:
    shell(f"lxc remote add r1 {network.address} --accept-certificate --password {PASSWORD}").ok()
    shell("mkdir other && cp $LXD_CONF/config.yml other").ok()
    shell("lxc remote add x https://127.0.0.1:1 --accept-certificate", LXD_CONF="other").failed()  # makes a certificate
    shell("cp other/client.crt certfile.crt").ok()
    shell(f"lxc config trust add {remote} certfile.crt").ok()
    names = {one["name"] for one in daemon.request("GET", "/1.0/certificates?recursion=1").metadata}
    assert "certfile.crt" in names
    shell(f"lxc remote add r2 {network.address} --accept-certificate", LXD_CONF="other").ok()  # asks for no password


def test_b4_a_server_that_is_none_gets_no_certificate(shell: Shell, daemon: Daemon) -> None:
    shell("echo x > certfile.crt; lxc config trust add r9 certfile.crt").failed('The remote "r9" doesn\'t exist')
    assert daemon.request("GET", "/1.0/certificates").metadata == []


def test_b5_b11_a_public_server_shows_its_public_images(
    shell: Shell, network: Network, daemon: Daemon, image: str
) -> None:
    fingerprint = daemon.request("GET", f"/1.0/images/aliases/{image}").metadata["target"]
    shell(f"lxc remote add pictures {network.address} --public", stdin="y\n").ok()
    row = next(row for row in rows(shell("lxc remote list").ok().stdout) if row[0] == "pictures")
    assert row == ["pictures", f"https://{network.address}", "lxd", "tls", "YES", "NO", "NO"]
    assert shell("lxc image list pictures: --format csv").ok().stdout == ""
    daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": True})
    try:
        assert fingerprint[:12] in shell("lxc image list pictures: --format csv").ok().stdout
        shell(f"lxc image export pictures:{image} exported").ok()
    finally:
        daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": False})
    shell("lxc list pictures:").failed("Error: The remote isn't a private LXD server")
    assert network.request(None, "GET", "/1.0/instances").status == 403


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
def test_b7_an_image_of_another_server_is_launched(
    shell: Shell, network: Network, daemon: Daemon, fresh_daemon: Daemon, image: str, is_public: bool
) -> None:
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    fingerprint = daemon.request("GET", f"/1.0/images/aliases/{image}").metadata["target"]
    daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": is_public})
    trust = "--public" if is_public else f"--password {PASSWORD}"
    here = str(fresh_daemon.state)
    try:
        shell(f"lxc remote add foo {network.address} --accept-certificate {trust}", LXD_DIR=here).ok()
        shell(f"lxc launch foo:{image} my-container", LXD_DIR=here).ok()
        assert shell("lxc exec my-container -- echo up", LXD_DIR=here).ok().stdout == "up\n"
    finally:
        daemon.request("PATCH", f"/1.0/images/{fingerprint}", {"public": False})


def test_b7_an_underscore_is_no_part_of_a_name(shell: Shell, image: str) -> None:
    shell(f"lxc launch {image} my_container").failed(
        "Invalid instance name: Name can only contain alphanumeric and hyphen characters"
    )
