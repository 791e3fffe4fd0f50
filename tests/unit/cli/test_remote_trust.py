"""`lxc remote add` of an https server: its certificate is pinned, ours is taken for a password or a token."""

import base64
import http.server
import io
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.cli import client_identity, config, main
from lightervisor.client import light_tls
from tests.harness.certificates import make

PASSWORD = "geheim"


class Server(http.server.ThreadingHTTPServer):
    """As much of LXD's API as trust needs; everybody is trusted after the right password."""

    daemon_threads = True
    is_trusting = False

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        auth = "trusted" if self.server.is_trusting else "untrusted"
        answers = {"/1.0": {"auth": auth, "auth_methods": ["tls"], "api_extensions": []}, "/1.0/projects/web": {}}
        self._say(200, answers[self.path.partition("?")[0]])

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.is_trusting = request == {"type": "client", "password": PASSWORD, "trust_token": PASSWORD}
        self._say(200 if self.server.is_trusting else 403, {})

    def _say(self, status: int, metadata: object) -> None:
        kind = {"type": "sync"} if status == 200 else {"type": "error", "error": "not authorized", "error_code": 403}
        body = json.dumps({**kind, "metadata": metadata}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _identify(context, tmp_path)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _identify(context: ssl.SSLContext, folder: Path) -> None:
    certificate, key = client_identity.make()
    (folder / "server.crt").write_bytes(certificate)
    (folder / "server.key").write_bytes(key)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yml").write_text("default-remote: local\n")
    return tmp_path / "conf"


def lxc(home: Path, *words: str) -> int:
    return main.run(list(words), {"LXD_CONF": str(home), "LXD_GLOBAL_CONF": str(home / "none")})


def remotes(home: Path) -> dict[str, dict[str, object]]:
    return config.load({"LXD_CONF": str(home), "LXD_GLOBAL_CONF": str(home / "none")}).own_remotes


def test_the_certificate_is_pinned_and_ours_trusted(server: Server, home: Path, tmp_path: Path) -> None:
    assert lxc(home, "remote", "add", "r", server.address, "--accept-certificate", "--password", PASSWORD) == 0
    assert remotes(home)["r"] == {"addr": server.address, "auth_type": "tls", "protocol": "lxd", "public": False}
    assert (home / "servercerts/r.crt").read_text() == (tmp_path / "server.crt").read_text()
    assert (home / "client.key").stat().st_mode & 0o777 == 0o600


def test_a_refused_password_leaves_nothing_pinned(
    server: Server, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lxc(home, "remote", "add", "r", server.address, "--accept-certificate", "--password", "wrong") == 1
    assert "Error: not authorized" in capsys.readouterr().err
    assert list((home / "servercerts").iterdir()) == []
    assert "r" not in remotes(home)


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("0000\n", 1)])
def test_the_user_is_asked(
    server: Server,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert lxc(home, "remote", "add", "r", server.address, "--public") == status
    out, err = capsys.readouterr()
    shown = light_tls.fingerprint(ssl.PEM_cert_to_DER_cert(light_tls.server_certificate(server.address)))
    assert out == f"Certificate fingerprint: {shown}\nok (y/n/[fingerprint])? "
    assert ("NACKed by user" in err) is (status == 1)


def test_a_token_needs_no_answers(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = light_tls.fingerprint(ssl.PEM_cert_to_DER_cert(light_tls.server_certificate(server.address)))
    place = server.address.removeprefix("https://")
    content = {"client_name": "c", "addresses": ["127.0.0.1:1", place], "fingerprint": shown, "secret": "s"}
    token = base64.b64encode(json.dumps(content).encode()).decode()
    monkeypatch.setitem(Handler.do_POST.__globals__, "PASSWORD", token)
    assert lxc(home, "remote", "add", token) == 0
    assert remotes(home)["127.0.0.1"]["addr"] == server.address


def test_a_token_of_another_server_is_refused(server: Server, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = server.address.removeprefix("https://")
    content = {"client_name": "c", "addresses": [place], "fingerprint": "00", "secret": "s"}
    assert lxc(home, "remote", "add", "r", base64.b64encode(json.dumps(content).encode()).decode()) == 1
    assert "fingerprint mismatch" in capsys.readouterr().err


def test_another_certificate_than_the_pinned_is_refused(
    server: Server, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lxc(home, "remote", "add", "r", server.address, "--accept-certificate", "--public") == 0
    (home / "servercerts/r.crt").write_bytes(client_identity.make()[0])
    assert lxc(home, "image", "list", "r:") == 1
    assert "is not the one that was accepted" in capsys.readouterr().err


def test_a_server_of_the_users_own_authority_needs_no_pin(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    authority = make("authority", may_sign=True)
    identity = make("server", authority=authority, address="127.0.0.1")
    context = server.socket.context  # type: ignore[attr-defined]  # a TLS socket
    context.load_cert_chain(*identity.write(home / "server"))
    assert lxc(home, "remote", "add", "r", server.address, "--password", PASSWORD) == 1
    (home / "client.ca").write_text(authority.pem)
    assert lxc(home, "remote", "add", "r", server.address, "--password", PASSWORD) == 0
    assert not (home / "servercerts/r.crt").exists()
