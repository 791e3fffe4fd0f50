"""Strangers: what our server shows to the others' clients, how these become trusted, and ours on their servers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import home
from tests.harness import images
from tests.harness.certificates import make
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Site, marked

PASSWORD = "geheim & lang"


@pytest.fixture
def stranger(peer: Peer, tmp_path: Path) -> Lxc:
    """The peer's own client on another machine, trusted by nobody."""
    return peer.client(home(tmp_path / "stranger"))


@pytest.fixture
def our_stranger(tmp_path: Path) -> Lxc:
    """Our client, trusted by nobody."""
    return Lxc(OURS, {"LXD_DIR": str(tmp_path / "nowhere")}, home(tmp_path / "stranger"))


def certificates(site: Site) -> dict[str, str]:
    """Whom a server trusts: names by fingerprint."""
    listed = site.daemon.request("GET", "/1.0/certificates?recursion=1").metadata
    return {one["fingerprint"]: one["name"] for one in listed}


def test_a_public_server_gives_what_is_public(
    stranger: Lxc, ours: Site, theirs: Site, unified: Path, tmp_path: Path
) -> None:
    shown = ours.add(unified, alias="shown", public=True)
    hidden = ours.add(images.unified(tmp_path / "hidden.tar.gz", metadata=marked()), alias="hidden")
    stranger("remote", "add", "pictures", ours.url, "--accept-certificate", "--public").ok()
    listed = stranger("image", "list", "pictures:", "-f", "csv").ok().stdout
    assert shown[:12] in listed
    assert hidden[:12] not in listed
    stranger("launch", "pictures:shown", "c1").ok()
    assert theirs.status("c1") == "Running"
    assert theirs.image(shown)["update_source"]["alias"] == "shown"
    stranger("launch", "pictures:hidden", "c2").failed("not found")
    stranger("image", "copy", "pictures:shown", "local:", "--alias", "mine", "--auto-update").ok()
    assert theirs.image("mine")["auto_update"]
    stranger("image", "export", "pictures:shown", tmp_path / "got").ok()
    assert (tmp_path / "got.tar.gz").read_bytes() == unified.read_bytes()


def test_a_token_of_ours_is_taken_once(stranger: Lxc, lxc: Lxc, ours: Site) -> None:
    before = certificates(ours)
    token = lxc("config", "trust", "add", "ours:", "--name", "ann", "-q").ok().stdout.splitlines()[-1]
    stranger("remote", "add", "box", token).ok()
    (fingerprint,) = set(certificates(ours)) - set(before)
    assert certificates(ours)[fingerprint] == "ann"
    assert stranger("list", "box:", "-f", "csv").ok().stdout == ""
    stranger("remote", "add", "again", token, "--accept-certificate").failed()
    ours.daemon.request("DELETE", f"/1.0/certificates/{fingerprint}")
    stranger("list", "box:").failed("not authorized")


def test_a_certificate_is_trusted_before_it_comes(stranger: Lxc, lxc: Lxc, ours: Site, tmp_path: Path) -> None:
    who = make("root@stranger")
    file, _ = who.write(tmp_path / "stranger")
    lxc("config", "trust", "add", "ours:", file).ok()
    stranger("remote", "add", "box", ours.url, "--accept-certificate").ok()
    stranger("list", "box:").ok()
    lxc("config", "trust", "remove", f"ours:{who.fingerprint[:12]}").ok()
    stranger("list", "box:").failed("not authorized")


def test_a_password_of_ours_is_taken(stranger: Lxc, lxc: Lxc, peer: Peer, ours: Site) -> None:
    if peer.kind is not LXD:
        pytest.skip("Incus has no trust passwords")
    before = set(certificates(ours))
    lxc("config", "set", "ours:", "core.trust_password", PASSWORD).ok()
    stranger("remote", "add", "box", ours.url, "--accept-certificate", "--password", "x").failed("not authorized")
    stranger("remote", "add", "box", ours.url, "--accept-certificate", "--password", PASSWORD).ok()
    lxc("config", "unset", "ours:", "core.trust_password").ok()
    (fingerprint,) = set(certificates(ours)) - before
    ours.daemon.request("DELETE", f"/1.0/certificates/{fingerprint}")


def test_our_client_is_trusted_by_a_token_of_theirs(our_stranger: Lxc, lxc: Lxc, theirs: Site) -> None:
    token = lxc("config", "trust", "add", "theirs:", "--name", "bob", "-q").ok().stdout.splitlines()[-1]
    tokens = yaml.safe_load(lxc("config", "trust", "list-tokens", "theirs:", "-f", "json").ok().stdout)
    assert [one["ClientName"] for one in tokens] == ["bob"]
    our_stranger("remote", "add", "box", token).ok()
    our_stranger("list", "box:").ok()
    listed = lxc("config", "trust", "list", "theirs:", "-f", "csv").ok().stdout
    (row,) = [line for line in listed.splitlines() if ",bob," in line]
    fingerprint = next(cell for cell in row.split(",") if len(cell) == 12)
    shown = yaml.safe_load(lxc("config", "trust", "show", f"theirs:{fingerprint}").ok().stdout)
    assert (shown["name"], shown["type"], shown["restricted"]) == ("bob", "client", False)
    edited = yaml.safe_dump({**shown, "name": "rob"})
    lxc("config", "trust", "edit", f"theirs:{fingerprint}", stdin=edited).ok()
    assert "rob" in certificates(theirs).values()
    lxc("config", "trust", "remove", f"theirs:{fingerprint}").ok()
    our_stranger("list", "box:").failed("not authorized")


def test_a_token_of_theirs_is_taken_back(our_stranger: Lxc, lxc: Lxc, theirs: Site) -> None:
    token = lxc("config", "trust", "add", "theirs:", "--name", "eve", "-q").ok().stdout.splitlines()[-1]
    lxc("config", "trust", "revoke-token", "theirs:eve").ok()
    assert yaml.safe_load(lxc("config", "trust", "list-tokens", "theirs:", "-f", "json").ok().stdout) == []
    our_stranger("remote", "add", "box", token).failed()


def test_our_client_is_trusted_by_their_password(our_stranger: Lxc, lxc: Lxc, peer: Peer, theirs: Site) -> None:
    if peer.kind is not LXD:
        pytest.skip("Incus has no trust passwords")
    before = set(certificates(theirs))
    lxc("config", "set", "theirs:", "core.trust_password", PASSWORD).ok()
    our_stranger("remote", "add", "box", theirs.url, "--accept-certificate", "--password", "x").failed("not authorized")
    our_stranger("remote", "add", "box", theirs.url, "--accept-certificate", "--password", PASSWORD).ok()
    our_stranger("list", "box:").ok()
    lxc("config", "unset", "theirs:", "core.trust_password").ok()
    (fingerprint,) = set(certificates(theirs)) - before
    theirs.daemon.request("DELETE", f"/1.0/certificates/{fingerprint}")
