"""`lxc remote` on a configuration of its own, addresses, tokens and the client's certificate."""

import base64
import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightervisor.cli import client_identity, config, main, remote, remote_address
from lightervisor.cli.errors import CommandError

CONFIG = """\
default-remote: mine
remotes:
  mine: {addr: "https://10.0.0.1:8443", auth_type: tls, protocol: lxd, public: false}
  pictures: {addr: "https://images.example.org", protocol: simplestreams, public: true}
"""
SHARED = 'remotes:\n  company: {addr: "https://10.0.0.9:8443", protocol: lxd}\n'
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.yml").write_text(CONFIG)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/config.yml").write_text(SHARED)
    return tmp_path


@pytest.fixture
def lxc(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(line: str, **environ: str) -> tuple[int, str, str]:
        places = {"LXD_CONF": str(home / "own"), "LXD_GLOBAL_CONF": str(home / "shared")}
        status = main.run(line.split(), {**places, **environ})
        out, err = capsys.readouterr()
        return status, out, err

    return run


def stored(home: Path) -> config.Config:
    return config.load({"LXD_CONF": str(home / "own"), "LXD_GLOBAL_CONF": str(home / "shared")})


def test_the_list_tells_what_each_remote_is(lxc: Run) -> None:
    assert lxc("remote list -f csv")[1].splitlines() == [
        "build,build:,build,none,YES,YES,NO",
        "company,https://10.0.0.9:8443,lxd,tls,NO,NO,YES",
        "local,unix://,lxd,file access,NO,YES,NO",
        "mine (current),https://10.0.0.1:8443,lxd,tls,NO,NO,NO",
        "pictures,https://images.example.org,simplestreams,none,YES,NO,NO",
        "ubuntu,https://cloud-images.ubuntu.com/releases,simplestreams,none,YES,YES,NO",
        "ubuntu-daily,https://cloud-images.ubuntu.com/daily,simplestreams,none,YES,YES,NO",
        "ubuntu-minimal,https://cloud-images.ubuntu.com/minimal/releases,simplestreams,none,YES,YES,NO",
        "ubuntu-minimal-daily,https://cloud-images.ubuntu.com/minimal/daily,simplestreams,none,YES,YES,NO",
    ]


def test_json_has_the_names_of_lxds_structs(lxc: Run) -> None:
    listed: dict[str, Any] = json.loads(lxc("remote list -f json")[1])
    assert listed["company"] == {
        "Addr": "https://10.0.0.9:8443", "AuthType": "", "Domain": "", "Project": "", "Protocol": "lxd",
        "Public": False, "Global": True, "Static": False,
    }  # fmt: skip


@pytest.mark.parametrize("word", ["switch", "set-default"])
def test_the_default_is_switched(lxc: Run, home: Path, word: str) -> None:
    assert lxc(f"remote {word} local") == (0, "", "")
    assert lxc("remote get-default")[1] == "local\n"
    assert stored(home).stored_default == "local"


def test_the_environments_default_is_not_stored(lxc: Run, home: Path) -> None:
    assert lxc("remote get-default", LXD_REMOTE="local")[1] == "local\n"
    assert "LXD_REMOTE" in lxc("remote switch company", LXD_REMOTE="local")[2]
    lxc("remote set-url pictures https://b.example.org", LXD_REMOTE="local")
    assert stored(home).stored_default == "company"


def test_renaming_takes_the_certificate_and_the_default_along(lxc: Run, home: Path) -> None:
    (home / "own/servercerts").mkdir()
    (home / "own/servercerts/mine.crt").write_text("PEM")
    assert lxc("remote rename mine yours") == (0, "", "")
    assert (home / "own/servercerts/yours.crt").read_text() == "PEM"
    (home / "own/cache").mkdir()
    (home / "own/cache/pictures.simplestreams").write_bytes(b"kept")
    assert lxc("remote rename pictures photos") == (0, "", "")
    assert [place.name for place in (home / "own/cache").iterdir()] == ["photos.simplestreams"]
    after = stored(home)
    assert after.stored_default == "yours"
    assert "mine" not in after.remotes


def test_removing_forgets_the_certificate(lxc: Run, home: Path) -> None:
    (home / "own/servercerts").mkdir()
    (home / "own/servercerts/pictures.crt").write_text("PEM")
    assert lxc("remote remove pictures") == (0, "", "")
    assert list((home / "own/servercerts").iterdir()) == []
    assert "pictures" not in stored(home).remotes


def test_a_system_wide_remote_becomes_ones_own_when_changed(lxc: Run, home: Path) -> None:
    assert lxc("remote set-url company 10.0.0.7") == (0, "", "")
    assert stored(home).own_remotes["company"] == {"addr": "https://10.0.0.7:8443", "protocol": "lxd"}


def test_a_server_of_images_is_added_as_lxd_stores_it(lxc: Run, home: Path) -> None:
    assert lxc("remote add more https://more.example.org --protocol simplestreams") == (0, "", "")
    text = (home / "own/config.yml").read_text()
    assert "  more:\n    addr: https://more.example.org\n    protocol: simplestreams\n    public: true\n" in text


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("remote switch nope", "Remote nope doesn't exist"),
        ("remote remove mine", "Can't remove the default remote"),
        ("remote remove local", "Remote local is static and cannot be modified"),
        ("remote remove company", "Remote company is global and cannot be removed"),
        ("remote remove nope", "Remote nope doesn't exist"),
        ("remote rename ubuntu x", "Remote ubuntu is static and cannot be modified"),
        ("remote rename mine local", "Remote local already exists"),
        ("remote rename mine a:b", "Remote names may not contain colons"),
        ("remote rename mine ../x", "Invalid remote name '../x'"),
        ("remote set-url local /x", "Remote local is static and cannot be modified"),
        ("remote set-url mine http://x", 'Invalid URL scheme "http" in "http://x"'),
        ("remote add mine x", "Remote mine exists as <https://10.0.0.1:8443>"),
        ("remote add a:b x", "Remote names may not contain colons"),
        ("remote add x http://x --protocol simplestreams", "Only https URLs are supported for simplestreams"),
        ("remote add x y --protocol ftp", "Invalid protocol: ftp"),
        ("remote add x y --auth-type candid", "Only tls authentication is supported"),
        ("remote add x /no/such/socket", "dial unix /no/such/socket: connect: no such file or directory"),
        ("remote list -f text", 'Invalid format "text"'),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_stored(lxc: Run, home: Path, line: str, error: str) -> None:
    status, _, told = lxc(line)
    assert status == 1
    assert error in told
    assert (home / "own/config.yml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", "https://host:8443"),
        ("host:443", "https://host:443"),
        ("10.0.0.1", "https://10.0.0.1:8443"),
        ("https://host/", "https://host:8443"),
        ("https://host:1/x", "https://host:1"),
        ("::1", "https://[::1]:8443"),
        ("[fe80::1]:9", "https://[fe80::1]:9"),
        ("unix://", "unix://"),
        ("unix:/a/b", "unix:///a/b"),
        ("/a/b", "unix:///a/b"),
    ],
)
def test_addresses_get_scheme_and_port(text: str, address: str) -> None:
    assert remote_address.server(text) == address


@pytest.mark.parametrize("text", ["http://x", "ftp://x", "host:port", "host:99999", "", "a b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        remote_address.server(text)


def test_a_token_tells_where_and_who_the_server_is() -> None:
    content = {"addresses": ["10.0.0.1:8443"], "fingerprint": "ab", "secret": "s", "client_name": "c"}
    text = base64.b64encode(json.dumps(content).encode()).decode()
    token = remote_address.decode_token(text)
    assert token is not None
    assert (token.text, token.addresses, token.fingerprint, token.host) == (text, ["10.0.0.1:8443"], "ab", "10.0.0.1")


@pytest.mark.parametrize("text", ["host", "10.0.0.1", "abcd", "e30=", "W10=", "bnVsbA==", "https://host:8443", "é"])
def test_other_words_are_no_tokens(text: str) -> None:
    assert remote_address.decode_token(text) is None


def test_the_clients_certificate_is_one_for_tls(tmp_path: Path) -> None:
    certificate, key = client_identity.make()
    (tmp_path / "c.crt").write_bytes(certificate)
    (tmp_path / "c.key").write_bytes(key)
    ssl.create_default_context().load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    words = ["openssl", "x509", "-in", tmp_path / "c.crt", "-noout", "-text"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for fact in ("O = linuxcontainers.org", "secp384r1", "TLS Web Client Authentication", "CA:FALSE"):
        assert fact in told


def test_authentication_is_named_as_lxd_names_it() -> None:
    assert remote.authentication({"addr": "unix:///x", "auth_type": "tls"}) == "file access"
    assert remote.authentication({"addr": "https://x", "protocol": "simplestreams"}) == "none"
    assert remote.authentication({"addr": "https://x"}) == "tls"
