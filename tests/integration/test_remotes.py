"""Servers over the network: trust on both sides, what guests and restricted clients get, with both `lxc` programs."""

from __future__ import annotations

import base64
import gc
import json
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import pylxd
import pytest

from lightervisor.client import light_tls
from lightervisor.client.light import Server
from lightervisor.client.light_http import unix_connector
from tests.conftest import home
from tests.harness.certificates import DAY, Identity, make, make_revocations
from tests.harness.client_lxc import OURS, STOCK, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import Network, on_network

PASSWORD = "geheim & lang"
CERTIFICATES = "/1.0/certificates"


@pytest.fixture
def network(daemon: Daemon) -> Iterator[Network]:
    """The session's daemon, listening on the network."""
    with on_network(daemon) as found:
        yield found


@pytest.fixture(params=["lxc", "stock-lxc"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Lxc:
    """Each `lxc` program on a machine that has no daemon."""
    program = OURS if request.param == "lxc" else STOCK
    if not program.exists():
        pytest.skip("this distribution has no package lxd-client")
    return Lxc(program, {"LXD_DIR": str(tmp_path / "nowhere")}, home(tmp_path / "home"))


def add(daemon: Daemon, identity: Identity, **post: object) -> None:
    body = {"type": "client", "certificate": base64.b64encode(identity.der).decode(), **post}
    assert daemon.request("POST", CERTIFICATES, body).status == 201


def test_a_remote_is_added_with_the_password(away: Lxc, daemon: Daemon, network: Network) -> None:
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    said = away("remote", "add", "foo", network.address, "--accept-certificate", "--password", PASSWORD).ok().stdout
    assert said.split() == ["Client", "certificate", "now", "trusted", "by", "server:", "foo"]
    assert away("list", "foo:", "--format", "csv").ok().stdout == ""
    assert f"foo,https://{network.address},lxd,tls,NO,NO,NO" in away("remote", "list", "-f", "csv").ok().stdout
    trusted = daemon.request("GET", f"{CERTIFICATES}?recursion=1").metadata
    assert len(trusted) == 1
    pinned = Path(away.env["LXD_CONF"]) / "servercerts/foo.crt"
    assert ssl.PEM_cert_to_DER_cert(pinned.read_text()) == ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate(("127.0.0.1", network.port))
    )


def test_a_wrong_password_is_refused(away: Lxc, daemon: Daemon, network: Network) -> None:
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    refused = away("remote", "add", "foo", network.address, "--accept-certificate", "--password", "x")
    refused.failed("Error: not authorized")
    assert "foo" not in away("remote", "list", "-f", "csv").ok().stdout


def test_the_server_is_shown_and_can_be_refused(away: Lxc, network: Network) -> None:
    said = away("remote", "add", "foo", network.address, stdin="n\n").failed("Error: Server certificate NACKed by user")
    assert f"Certificate fingerprint: {network.fingerprint()}\n" in said.stdout
    said = away("remote", "add", "foo", network.address, "--public", stdin=f"{network.fingerprint()}\n").ok()
    assert "foo" in away("remote", "list", "-f", "csv").ok().stdout


def test_a_token_adds_a_remote_once(away: Lxc, daemon: Daemon, network: Network, tmp_path: Path, lxc: Lxc) -> None:
    token = lxc("config", "trust", "add", "--name", "ann", "-q").ok().stdout.splitlines()[-1]
    assert json.loads(base64.b64decode(token))["addresses"] == [network.address]
    away("remote", "add", "foo", token).ok()
    away("list", "foo:").ok()
    assert [one["name"] for one in daemon.request("GET", f"{CERTIFICATES}?recursion=1").metadata] == ["ann"]
    second = Lxc(away.program, {"LXD_DIR": "/nowhere"}, home(tmp_path / "second"))
    second("remote", "add", "foo", token).failed("No matching certificate add operation found")


def test_a_known_certificate_needs_no_password(away: Lxc, network: Network, lxc: Lxc) -> None:
    away("remote", "add", "public", network.address, "--accept-certificate", "--public").ok()
    away("remote", "add", "foo", network.address, "--accept-certificate", "--password", "x").failed("not authorized")
    file = Path(away.env["LXD_CONF"]) / "client.crt"
    lxc("config", "trust", "add", str(file)).ok()
    away("remote", "add", "foo", network.address, "--accept-certificate").ok()
    away("list", "foo:").ok()


def test_the_certificate_is_printed_to_be_trusted(daemon: Daemon, network: Network, tmp_path: Path) -> None:
    client = Lxc(OURS, {"LXD_DIR": str(tmp_path / "nowhere")}, home(tmp_path / "home"))
    client("remote", "generate-certificate").ok()
    refused = client("remote", "generate-certificate").failed()
    assert refused.stderr == "Error: A client certificate is already present\n"
    printed = client("remote", "get-client-certificate").ok().stdout
    body = {"type": "client", "certificate": base64.b64encode(ssl.PEM_cert_to_DER_cert(printed)).decode()}
    assert daemon.request("POST", CERTIFICATES, body).status == 201
    said = client("remote", "add", "foo", network.address, "--accept-certificate").ok().stdout
    assert "password" not in said
    assert client("list", "foo:", "--format", "csv").ok().stdout == ""


def test_another_server_at_the_same_address_is_refused(away: Lxc, daemon: Daemon, network: Network) -> None:
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    away("remote", "add", "foo", network.address, "--accept-certificate", "--password", PASSWORD).ok()
    (Path(away.env["LXD_CONF"]) / "servercerts/foo.crt").write_text(make("somebody else").pem)
    away("list", "foo:").failed("certificate")


def test_a_remote_client_does_everything(away: Lxc, daemon: Daemon, network: Network, image: str, name: str) -> None:
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    away("remote", "add", "foo", network.address, "--accept-certificate", "--password", PASSWORD).ok()
    away("launch", f"foo:{image}", f"foo:{name}").ok()
    assert away("exec", f"foo:{name}", "--", "echo", "hello").ok().stdout == "hello\n"
    away("config", "set", f"foo:{name}", "user.note", "x").ok()
    assert away("config", "get", f"foo:{name}", "user.note").ok().stdout == "x\n"
    away("delete", "-f", f"foo:{name}").ok()


def test_pylxd_becomes_trusted_by_the_password(
    daemon: Daemon, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
    certificate, key = make("root@pylxd").write(tmp_path)
    client: Any = pylxd.Client(
        endpoint=f"https://{network.address}",
        cert=(str(certificate), str(key)),
        verify=cast(Any, str(daemon.state / "server.crt")),  # requests takes a file too
    )
    assert not client.trusted
    client.authenticate(PASSWORD)
    assert client.trusted
    assert client.instances.all() == []
    (only,) = client.certificates.all()
    assert only.name == "root@pylxd"
    only.delete()
    del client, only
    gc.collect()  # see pytest_collection_modifyitems


class Damaged(Identity):
    """An identity whose certificate was changed after it was signed."""

    changed = b""

    def __new__(cls, good: Identity, changed: bytes) -> Damaged:
        made = super().__new__(cls, good.certificate, good.key)
        made.changed = changed
        return made

    @property
    def der(self) -> bytes:
        """The changed bytes."""
        return self.changed


class TestAccess:
    """What each kind of caller gets."""

    def test_b11_a_guest_sees_public_images_only(self, daemon: Daemon, network: Network, image: str) -> None:
        fingerprint = daemon.request("GET", f"/1.0/images/aliases/{image}").metadata["target"]
        one, guest = f"/1.0/images/{fingerprint}", make()
        for who in (None, guest):
            assert network.request(who, "GET", "/1.0/images").metadata == []
            assert network.request(who, "GET", one).status == 404
            assert network.request(who, "GET", f"{one}/export").status == 404
            assert network.request(who, "GET", f"/1.0/images/aliases/{image}").status == 404
            assert network.request(who, "GET", "/1.0/instances").status == 403
            assert network.request(who, "GET", "/1.0").metadata["auth"] == "untrusted"
        daemon.request("PATCH", one, {"public": True})
        try:
            assert network.request(None, "GET", "/1.0/images").metadata == [one]
            assert network.request(None, "GET", f"/1.0/images/aliases/{image}").metadata["target"] == fingerprint
            assert len(network.request(None, "GET", f"{one}/export").body) > 1000
            assert network.request(None, "DELETE", one).status == 403
            assert network.request(None, "POST", "/1.0/images", b"x").status == 403
        finally:
            daemon.request("PATCH", one, {"public": False})

    def test_a_restricted_client_has_its_projects(
        self, daemon: Daemon, network: Network, image: str, name: str
    ) -> None:
        narrow, nothing = make(), make()
        add(daemon, narrow, restricted=True, projects=["default"])
        add(daemon, nothing, restricted=True)
        assert network.request(narrow, "GET", "/1.0").metadata["config"] is None
        source = {"type": "image", "alias": image}
        assert network.request(nothing, "POST", "/1.0/instances", {"name": name, "source": source}).status == 403
        made = network.request(narrow, "POST", "/1.0/instances", {"name": name, "source": source})
        operation = made.envelope["operation"]
        assert network.request(nothing, "GET", operation).status == 404
        assert network.request(narrow, "GET", f"{operation}/wait").metadata["status"] == "Success"
        assert network.request(narrow, "PATCH", "/1.0", {"config": {}}).status == 403
        assert network.request(narrow, "GET", "/1.0/warnings").status == 403
        assert network.request(narrow, "PUT", "/internal/shutdown", {}).status == 403
        live = {"name": f"{name}-l", "source": {"type": "migration", "mode": "push", "live": True}}
        assert network.request(narrow, "POST", "/1.0/instances", live).status == 403  # root reads what comes

    def test_events_tell_who_it_was(self, daemon: Daemon, network: Network) -> None:
        ours = make()
        add(daemon, ours)
        server = Server(unix_connector(str(daemon.state / "unix.socket")), name="local")
        with closing(server.websocket("/1.0/events?type=lifecycle")) as events:
            network.request(ours, "PATCH", "/1.0", {"config": {"user.note": "x"}})
            _, frame = events.receive(timeout_s=60) or (0, b"")
        event = json.loads(frame)
        assert event["metadata"]["action"] == "config-updated"
        requestor = event["metadata"]["requestor"]
        assert (requestor["username"], requestor["protocol"]) == (ours.fingerprint, "tls")
        assert requestor["address"].startswith("127.0.0.1:")

    def test_expired_and_other_certificates_are_guests(self, daemon: Daemon, network: Network) -> None:
        ours = make("root@same")
        add(daemon, ours)
        for other in (make("root@same"), make(ends_in=-DAY / 2)):
            assert network.request(other, "GET", "/1.0/instances").status == 403
        assert network.request(ours, "GET", "/1.0/instances").status == 200

    def test_a_certificate_that_cannot_be_read_is_a_guests(self, network: Network) -> None:
        good = make()
        damaged = bytearray(good.der)
        damaged[good.der.index(b"\xa0\x03\x02\x01\x02") + 4] = 1  # a version that OpenSSL takes and others refuse
        answer = network.request(Damaged(good, bytes(damaged)), "GET", "/1.0")
        assert answer.metadata["auth"] == "untrusted"

    def test_a_metrics_certificate_is_no_clients(self, daemon: Daemon, network: Network) -> None:
        reader = make()
        add(daemon, reader, type="metrics")
        assert network.request(reader, "GET", "/1.0").metadata["auth"] == "untrusted"
        assert network.request(reader, "GET", "/1.0/instances").status == 403
        own = f"{CERTIFICATES}/{reader.fingerprint}"
        assert network.request(reader, "PATCH", own, {"type": "client"}).status == 403

    def test_a_restricted_client_renews_its_certificate_and_nothing_else(
        self, daemon: Daemon, network: Network
    ) -> None:
        ours, new = make(), make()
        add(daemon, ours, restricted=True, projects=["default"], name="ours")
        own = f"{CERTIFICATES}/{ours.fingerprint}"
        for change in ({"restricted": False}, {"type": "metrics"}, {"projects": []}, {"name": "x"}):
            assert network.request(ours, "PATCH", own, change).status == 403
        put = {"name": "ours", "type": "client", "restricted": False, "projects": [], "certificate": new.pem}
        assert network.request(ours, "PUT", own, put).error == "Only the certificate can be changed"
        body = {"type": "client", "certificate": base64.b64encode(new.der).decode()}
        assert network.request(ours, "POST", CERTIFICATES, body).status == 403
        assert network.request(ours, "POST", CERTIFICATES, {"type": "client", "token": True}).status == 403
        assert network.request(ours, "PATCH", own, {"certificate": new.pem}).status == 200
        assert network.request(ours, "GET", "/1.0/instances").status == 403
        assert network.request(new, "GET", "/1.0/instances").status == 200
        assert network.request(new, "PATCH", "/1.0", {"config": {}}).status == 403

    def test_a_token_cannot_be_read_or_used_twice(self, daemon: Daemon, network: Network) -> None:
        narrow, guest, late = make(), make(), make()
        add(daemon, narrow, restricted=True, projects=["default"])
        token = daemon.request("POST", CERTIFICATES, {"type": "client", "token": True, "name": "t"}).metadata
        assert "running" not in network.request(narrow, "GET", "/1.0/operations?recursion=1").metadata
        assert network.request(narrow, "GET", f"/1.0/operations/{token['id']}").status == 404
        content = {"client_name": "t", **{k: token["metadata"][k] for k in ("fingerprint", "addresses", "secret")}}
        body = {"type": "client", "password": base64.b64encode(json.dumps(content).encode()).decode()}
        assert network.request(guest, "POST", CERTIFICATES, body).status == 201
        assert network.request(late, "POST", CERTIFICATES, body).status == 403

    def test_the_secret_of_an_image_asks_the_server_for_nothing(self, daemon: Daemon, network: Network) -> None:
        wanted = "ab" * 32
        offer = {"source": {"type": "image", "mode": "push", "fingerprint": wanted}}
        token = daemon.request("POST", "/1.0/images", offer).metadata
        headers = {"X-LXD-secret": token["metadata"]["secret"], "X-LXD-fingerprint": wanted}
        fetch = {"source": {"type": "url", "url": f"https://{network.address}/"}}
        headers["Content-Type"] = "application/json"
        assert network.request(make(), "POST", "/1.0/images", fetch, headers=headers).status == 403
        assert daemon.request("GET", f"/1.0/operations/{token['id']}").metadata["status"] == "Running"

    def test_guesses_are_limited(self, daemon: Daemon, network: Network) -> None:
        daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}})
        guest = make()
        told = [
            network.request(guest, "POST", CERTIFICATES, {"type": "client", "password": str(n)}).status
            for n in range(12)
        ]
        assert told[0] == 403
        assert told[-1] == 429
        assert daemon.request("GET", CERTIFICATES).metadata == []


class TestCut:
    """Who loses trust loses what is open."""

    def test_a_listener_is_cut_off(self, daemon: Daemon, network: Network, tmp_path: Path) -> None:
        ours = make()
        add(daemon, ours)
        pinned = tmp_path / "server.crt"
        pinned.write_text(ssl.get_server_certificate(("127.0.0.1", network.port)))
        connect = light_tls.tls_connector(f"https://{network.address}", identity=ours.write(tmp_path), pinned=pinned)
        with closing(Server(connect, name="foo").websocket("/1.0/events?type=operation")) as events:
            daemon.request("DELETE", f"{CERTIFICATES}/{ours.fingerprint}")
            with suppress(ConnectionError):  # ended without a goodbye
                assert events.receive(timeout_s=60) is None
                assert not events.is_open


class TestAuthority:
    """PKI mode."""

    def test_only_signed_clients_that_were_not_taken_back(self, fresh_daemon: Daemon) -> None:
        authority, before = make("authority"), make()
        good, bad = make(authority=authority), make(authority=authority)
        with on_network(fresh_daemon) as network:
            add(fresh_daemon, before)
            (fresh_daemon.state / "server.ca").write_text(authority.pem)
            (fresh_daemon.state / "ca.crl").write_bytes(make_revocations(authority, bad))
            fresh_daemon.request("PATCH", "/1.0", {"config": {"core.trust_ca_certificates": "true"}})
            told = [network.request(who, "GET", "/1.0/instances").status for who in (before, good, bad, None)]
            assert told == [403, 200, 403, 403]
            (fresh_daemon.state / "server.ca").unlink()
            (fresh_daemon.state / "ca.crl").unlink()
