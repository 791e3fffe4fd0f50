"""`lxc config trust` on the server itself: certificates, tokens, the trust password."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from lightervisor.client.light import Server
from lightervisor.client.light_http import unix_connector
from tests.harness.certificates import DAY, Identity, make
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

CERTIFICATES = "/1.0/certificates"


@pytest.fixture
def untouched(daemon: Daemon) -> Iterator[None]:
    """After the test nobody is trusted, no token is out and the server's keys are unset."""
    yield
    for url in daemon.request("GET", CERTIFICATES).metadata:
        daemon.request("DELETE", url)
    for url in daemon.request("GET", "/1.0/operations").metadata.get("running", []):
        daemon.request("DELETE", url)
    keys = ("core.trust_password", "core.remote_token_expiry", "core.trust_ca_certificates")
    daemon.request("PATCH", "/1.0", {"config": dict.fromkeys(keys, "")})


pytestmark = pytest.mark.usefixtures("untouched")


def file_of(identity: Identity, folder: Path, name: str) -> Path:
    return identity.write(folder, name)[0]


def test_a_certificate_is_added_shown_edited_and_removed(either: Lxc, tmp_path: Path) -> None:
    ours = make("root@client")
    file = file_of(ours, tmp_path, "laptop")
    assert either("config", "trust", "add", str(file)).ok().stdout == ""
    either("config", "trust", "add", str(file)).failed("Error: Certificate already in trust store")
    row = either("config", "trust", "list", "--format", "csv").ok().stdout
    assert row.startswith(f"client,laptop.crt,root@client,{ours.fingerprint[:12]},")
    shown = yaml.safe_load(either("config", "trust", "show", ours.fingerprint[:12]).ok().stdout)
    assert shown == {
        "name": "laptop.crt",
        "type": "client",
        "restricted": False,
        "projects": [],
        "certificate": ours.pem,
        "fingerprint": ours.fingerprint,
    }
    changed = {**shown, "name": "pc", "restricted": True, "projects": ["default"]}
    either("config", "trust", "edit", ours.fingerprint, stdin=yaml.safe_dump(changed)).ok()
    assert yaml.safe_load(either("config", "trust", "show", ours.fingerprint).ok().stdout) == changed
    refused = either("config", "trust", "edit", ours.fingerprint, stdin=yaml.safe_dump({**changed, "type": "metrics"}))
    refused.failed("Error: The certificate type cannot be changed")
    either("config", "trust", "remove", ours.fingerprint[:12]).ok()
    either("config", "trust", "remove", ours.fingerprint).failed("Error: Certificate not found")


def test_flags_say_what_a_client_becomes(either: Lxc, daemon: Daemon, tmp_path: Path) -> None:
    file = file_of(make(), tmp_path, "m")
    either("config", "trust", "add", str(file), "--name", "prometheus", "--type", "metrics").ok()
    narrow = make()
    more = ("--restricted", "--projects", "default", "--name", "guest")
    either("config", "trust", "add", "-", *more, stdin=narrow.pem).ok()
    found = {one["name"]: one for one in daemon.request("GET", f"{CERTIFICATES}?recursion=1").metadata}
    assert (found["guest"]["restricted"], found["guest"]["projects"]) == (True, ["default"])
    assert (found["prometheus"]["type"], found["prometheus"]["restricted"]) == ("metrics", False)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (make(ends_in=-DAY / 2), "Error: The provided certificate is expired"),
        (make(rsa_bits=1024), "Error: RSA key is too weak (minimum of 2048bit)"),
    ],
    ids=["expired", "weak"],
)
def test_a_bad_certificate_is_refused(either: Lxc, tmp_path: Path, bad: Identity, text: str) -> None:
    either("config", "trust", "add", str(file_of(bad, tmp_path, "bad"))).failed(text)
    assert either("config", "trust", "list", "--format", "csv").ok().stdout == ""


def test_bad_arguments(either: Lxc, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    either("config", "trust", "add", str(tmp_path / "text")).failed("Error: Invalid certificate file")
    missing = either("config", "trust", "add", str(tmp_path / "none"))
    missing.failed(f"Error: open {tmp_path / 'none'}: no such file or directory")
    file = str(file_of(make(), tmp_path, "c"))
    either("config", "trust", "add", file, "--type", "wat").failed('Error: Unknown certificate type "wat"')
    either("config", "trust", "add", file, "--projects", "nope", "--restricted").failed("Error: Project not found")
    either("config", "trust", "show", "zz").failed("Error: Certificate not found")


def test_a_token_is_issued_listed_and_revoked(either: Lxc, daemon: Daemon) -> None:
    lines = either("config", "trust", "add", "--name", "ann", "--restricted", "--projects", "default").ok().stdout
    title, text = lines.splitlines()
    assert title == "Client ann certificate add token:"
    token = json.loads(base64.b64decode(text))
    assert (token["client_name"], len(token["secret"])) == ("ann", 64)
    asked = either("config", "trust", "add", stdin="bob\n").ok().stdout
    assert asked.startswith("Please provide client name: Client bob certificate add token:\n")
    rows = either("config", "trust", "list-tokens", "-f", "csv").ok().stdout.splitlines()
    assert [row.split(",")[0] for row in rows] == ["ann", "bob"]
    assert rows[0] == f"ann,{text},"
    operation = daemon.request("GET", "/1.0/operations?recursion=1").metadata["running"][0]
    assert (operation["class"], operation["description"]) == ("token", "Executing operation")
    assert sorted(operation["metadata"]) == ["addresses", "fingerprint", "request", "secret"]
    assert either("config", "trust", "revoke-token", "ann").ok().stdout == "Certificate add token for ann deleted\n"
    either("config", "trust", "revoke-token", "ann").failed(
        "Error: No certificate add token for member ann on remote: local"
    )


def test_a_token_expires(daemon: Daemon, either: Lxc) -> None:
    either("config", "set", "core.remote_token_expiry", "1M").ok()
    either("config", "trust", "add", "--name", "ann").ok()
    metadata = daemon.request("GET", "/1.0/operations?recursion=1").metadata["running"][0]["metadata"]
    assert metadata["expiresAt"] > "2020"
    assert either("config", "trust", "list-tokens", "-f", "csv").ok().stdout.endswith(" UTC\n")
    either("config", "set", "core.remote_token_expiry", "1S").ok()
    either("config", "trust", "add", "--name", "short").ok()
    short = next(
        one
        for one in daemon.request("GET", "/1.0/operations?recursion=1").metadata["running"]
        if one["metadata"]["request"]["name"] == "short"
    )
    ended = daemon.request("GET", f"/1.0/operations/{short['id']}/wait?timeout=10").metadata
    assert ended["status"] == "Cancelled"
    bad = either("config", "set", "core.remote_token_expiry", "soon")
    bad.failed("Error: cannot set 'core.remote_token_expiry' to 'soon': Invalid expiry expression")


def test_a10_the_trust_password_is_stored_hashed_and_never_shown(either: Lxc, daemon: Daemon) -> None:
    either("config", "set", "core.trust_password", "geheim").ok()
    assert either("config", "get", "core.trust_password").ok().stdout == "true\n"
    shown = daemon.request("GET", "/1.0").metadata["config"]
    assert shown == {"core.trust_password": True}
    assert "core.trust_password: true\n" in either("config", "show").ok().stdout
    database = (daemon.state / "database/lightervisor.db").read_bytes()
    journal = daemon.state / "database/lightervisor.db-wal"
    assert b"geheim" not in database + (journal.read_bytes() if journal.exists() else b"")
    daemon.request("PUT", "/1.0", {"config": {**shown, "user.note": "x"}})  # what `lxc config edit` sends back
    assert daemon.request("GET", "/1.0").metadata["config"] == {**shown, "user.note": "x"}
    either("config", "unset", "core.trust_password").ok()
    either("config", "set", "core.trust_password", "true").failed("Error: cannot set 'core.trust_password' to 'true'")
    either("config", "unset", "user.note").ok()
    assert daemon.request("GET", "/1.0").metadata["config"] == {}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "Client is already trusted"),
        ({"type": "client"}, "Client is already trusted"),
        ({"type": "client", "certificate": "zz"}, "illegal base64 data at input byte 0"),
        ({"type": "wat", "certificate": "AAAA"}, "Invalid certificate type"),
        ({"type": "client", "token": True, "certificate": "AAAA"}, "Can't use certificate if token is requested"),
        ({"type": "metrics", "token": True}, "Tokens can only be issued for client certificates"),
    ],
)
def test_bad_requests_have_lxds_texts(daemon: Daemon, body: dict[str, object], error: str) -> None:
    answer = daemon.request("POST", CERTIFICATES, body)
    assert (answer.status, answer.error) == (400, error)


def test_events_tell_of_it(daemon: Daemon) -> None:
    ours = make()
    post = {"type": "client", "certificate": base64.b64encode(ours.der).decode()}
    one = f"{CERTIFICATES}/{ours.fingerprint}"
    server = Server(unix_connector(str(daemon.state / "unix.socket")), name="local")
    with closing(server.websocket("/1.0/events?type=lifecycle")) as events:
        daemon.request("POST", CERTIFICATES, post)
        daemon.request("PATCH", one, {"name": "x"})
        daemon.request("DELETE", one)
        token = daemon.request("POST", CERTIFICATES, {"type": "client", "token": True, "name": "t"}).metadata["id"]
        daemon.request("DELETE", f"/1.0/operations/{token}")
        told = [json.loads((events.receive(timeout_s=60) or (0, b"{}"))[1]).get("metadata") for _ in range(4)]
    assert [(event["action"], event["source"]) for event in told] == [
        ("certificate-created", one),
        ("certificate-updated", one),
        ("certificate-deleted", one),
        ("operation-cancelled", f"/1.0/operations/{token}"),
    ]
    assert {event["requestor"]["protocol"] for event in told} == {"unix"}


def test_certificates_survive_a_restart(daemon: Daemon, either: Lxc, tmp_path: Path) -> None:
    either("config", "trust", "add", str(file_of(make(), tmp_path, "kept"))).ok()
    either("config", "trust", "add", "--name", "lost").ok()
    daemon.restart()
    assert either("config", "trust", "list", "--format", "csv").ok().stdout.startswith("client,kept.crt,")
    assert either("config", "trust", "list-tokens", "--format", "csv").ok().stdout == ""
