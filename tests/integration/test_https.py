"""The network listener of a running daemon: core.https_address and what pages of other sites may do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Identity, make
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import LOOPBACK, Network, listen
from tests.harness.processes import eventually

KEYS = (
    "core.https_address",
    "core.https_allowed_origin",
    "core.https_allowed_methods",
    "core.https_allowed_headers",
    "core.https_allowed_credentials",
    "core.https_trusted_proxy",
)
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(autouse=True)
def untouched(daemon: Daemon) -> Iterator[None]:
    """After the test the daemon listens nowhere and trusts nobody."""
    yield
    daemon.request("PATCH", "/1.0", {"config": dict.fromkeys(KEYS, "")})
    for url in daemon.request("GET", "/1.0/certificates").metadata:
        daemon.request("DELETE", url)


@pytest.fixture
def trusted(lxc: Lxc, tmp_path: Path) -> Identity:
    """A client that is trusted."""
    made = make()
    lxc("config", "trust", "add", str(made.write(tmp_path / "trusted")[0])).ok()
    return made


def free_port() -> int:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as found:
        return found.getsockname()[1]


def addresses(daemon: Daemon) -> list[str]:
    return daemon.request("GET", "/1.0").metadata["environment"]["addresses"]


def configured(daemon: Daemon) -> str:
    return daemon.request("GET", "/1.0").metadata["config"].get("core.https_address", "")


def is_served(port: int, host: str = LOOPBACK) -> bool:
    try:
        plain = socket.create_connection((host, port), timeout=60)
        with Network(port).context().wrap_socket(plain) as secure:
            secure.sendall(b"GET /1.0 HTTP/1.1\r\nHost: x\r\n\r\n")
            return secure.recv(12) == b"HTTP/1.1 200"
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("spelling", [":{}", "[::]:{}", "0.0.0.0:{}"])
def test_all_addresses_are_listened_on(either: Lxc, daemon: Daemon, spelling: str) -> None:
    port = free_port()
    address = spelling.format(port)
    assert either("config", "set", "core.https_address", address).ok().stdout == ""
    assert either("config", "get", "core.https_address").ok().stdout == f"{address}\n"
    assert is_served(port)
    assert is_served(port, "::1")
    found = addresses(daemon)
    assert found
    assert all(one.endswith(f":{port}") and not one.startswith(("127.", "[::1]", "[fe80")) for one in found)
    assert not spelling.startswith("0") or not any(one.startswith("[") for one in found)


@pytest.mark.parametrize(
    ("spelling", "host"), [("127.0.0.1:{}", "127.0.0.1"), ("[::1]:{}", "::1"), ("localhost:{}", "")]
)
def test_one_address_is_listened_on(daemon: Daemon, lxc: Lxc, spelling: str, host: str) -> None:
    port = free_port()
    lxc("config", "set", "core.https_address", spelling.format(port)).ok()
    assert addresses(daemon) == [spelling.format(port)]
    assert is_served(port, host or LOOPBACK)
    if host:
        assert not is_served(port, "::1" if host == LOOPBACK else LOOPBACK)


def test_it_moves_and_closes_without_a_restart(daemon: Daemon, lxc: Lxc) -> None:
    first, second = free_port(), free_port()
    lxc("config", "set", "core.https_address", f"127.0.0.1:{first}").ok()
    lxc("config", "set", "core.https_address", f":{first}").ok()
    assert is_served(first, "::1")
    lxc("config", "set", "core.https_address", f"127.0.0.1:{second}").ok()
    assert (is_served(first), is_served(second)) == (False, True)
    lxc("config", "unset", "core.https_address").ok()
    assert not is_served(second)
    assert addresses(daemon) == []


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("*", """cannot set 'core.https_address' to '*': Couldn't resolve "*\""""),
        (
            "nohost.invalid:8443",
            """cannot set 'core.https_address' to 'nohost.invalid:8443': Couldn't resolve "nohost.invalid\"""",
        ),
        ("1.2.3", """cannot set 'core.https_address' to '1.2.3': Couldn't resolve "1.2.3\""""),
        (
            "203.0.113.1:8443",
            'Cannot listen on network HTTPS socket "203.0.113.1:8443": listen tcp 203.0.113.1:8443: bind: '
            "cannot assign requested address",
        ),
        (
            "127.0.0.1:abc",
            'Cannot listen on network HTTPS socket "127.0.0.1:abc": listen tcp: address tcp/abc: unknown port',
        ),
        (
            "127.0.0.1:99999",
            'Cannot listen on network HTTPS socket "127.0.0.1:99999": listen tcp: address 99999: invalid port',
        ),
    ],
)
def test_a_bad_address_is_refused_and_nothing_changes(either: Lxc, daemon: Daemon, address: str, text: str) -> None:
    network = listen(daemon)
    either("config", "set", "core.https_address", address).failed(f"Error: {text}")
    assert configured(daemon) == "127.0.0.1:0"
    assert is_served(network.port)


def test_a_port_in_use_is_refused(either: Lxc, daemon: Daemon) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = f'Cannot listen on network HTTPS socket "{address}": listen tcp {address}: bind: address already in use'
        either("config", "set", "core.https_address", address).failed(f"Error: {text}")
    assert configured(daemon) == ""


def test_a_daemon_listens_again_after_a_restart_even_when_the_port_was_taken(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    network = listen(bare_daemon, f"127.0.0.1:{free_port()}")
    shown = (bare_daemon.state / "server.crt").read_text()
    bare_daemon.stop()
    with socket.create_server((LOOPBACK, network.port)):
        bare_daemon.start()
        assert addresses(bare_daemon) == []
        assert "trying again" in bare_daemon.log.read_text()
    bare_daemon.restart()
    assert is_served(network.port)
    server = bare_daemon.request("GET", "/1.0").metadata["environment"]
    assert server["certificate"] == shown
    assert ssl.get_server_certificate((LOOPBACK, network.port)) == shown


def test_a_certificate_that_was_there_is_used(bare_daemon: Daemon) -> None:
    own = make("own")
    own.write(bare_daemon.state, "server")
    bare_daemon.start()
    network = listen(bare_daemon)
    assert ssl.get_server_certificate((LOOPBACK, network.port)) == own.pem
    server = bare_daemon.request("GET", "/1.0").metadata["environment"]
    assert (server["certificate"], server["certificate_fingerprint"]) == (own.pem, own.fingerprint)


def test_a_trusted_client_does_what_the_unix_socket_allows(daemon: Daemon, trusted: Identity) -> None:
    network = listen(daemon)
    assert network.request(None, "GET", "/1.0/instances").error == "not authorized"
    assert network.request(trusted, "GET", "/1.0").metadata["config"] == {"core.https_address": "127.0.0.1:0"}
    moved = network.request(trusted, "PATCH", "/1.0", {"config": {"core.https_address": ""}})
    assert moved.status == 200  # the answer comes though it listens no more
    assert not is_served(network.port)


def test_strangers_do_not_learn_versions(daemon: Daemon) -> None:
    network = listen(daemon)
    for path, status in (("/", 200), ("/1.0/instances", 403), ("/nothing", 404)):
        answer = network.request(None, "GET", path)
        assert (answer.status, "server" in answer.headers) == (status, False)


def test_other_sites_get_the_headers_that_are_set(daemon: Daemon) -> None:
    network = listen(daemon)
    origin = {"Origin": "https://ui.example.com"}
    bare = network.request(None, "OPTIONS", "/1.0/instances", headers=origin)
    assert (bare.status, bare.body) == (200, b"")
    assert not [name for name in bare.headers if name.startswith("access-control")]
    config = {
        "core.https_allowed_origin": "https://ui.example.com",
        "core.https_allowed_methods": "GET, PUT",
        "core.https_allowed_headers": "Content-Type",
        "core.https_allowed_credentials": "true",
    }
    assert daemon.request("PATCH", "/1.0", {"config": config}).status == 200
    wanted = {
        "access-control-allow-origin": "https://ui.example.com",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "Content-Type",
        "access-control-allow-credentials": "true",
    }
    for method, path, status in (("OPTIONS", "/1.0", 200), ("GET", "/1.0/instances", 403), ("GET", "/1.0", 200)):
        answer = network.request(None, method, path, headers=origin)
        found = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
        assert (answer.status, found) == (status, wanted)
    internal = network.request(None, "OPTIONS", "/internal/ready", headers=origin)
    assert "access-control-allow-origin" not in internal.headers


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_another_site_changes_nothing(daemon: Daemon, trusted: Identity, headers: dict[str, str]) -> None:
    network = listen(daemon)
    form = {**headers, "Content-Type": "text/plain"}
    body = b'{"config": {"core.shutdown_timeout": "7"}}'
    refused = network.request(trusted, "PATCH", "/1.0", body, headers=form)
    assert refused.status == 403
    assert "core.https_allowed_origin" in refused.error
    assert "core.shutdown_timeout" not in daemon.request("GET", "/1.0").metadata["config"]
    websocket = network.request(trusted, "GET", "/1.0/events", headers={**headers, **UPGRADE})
    assert websocket.status == 403


def test_its_own_pages_and_an_allowed_site_do(daemon: Daemon, trusted: Identity) -> None:
    network = listen(daemon)

    def patched(origin: str) -> int:
        return network.request(trusted, "PATCH", "/1.0", {"config": {}}, headers={"Origin": origin}).status

    assert patched(f"https://127.0.0.1:{network.port}") == 200
    assert patched("https://ui.example.com") == 403
    daemon.request("PATCH", "/1.0", {"config": {"core.https_allowed_origin": "https://ui.example.com"}})
    assert patched("https://ui.example.com") == 200
    assert patched("https://evil.example.com") == 403


def test_a_proxy_is_believed_only_when_it_is_trusted(daemon: Daemon) -> None:
    network = listen(daemon)
    header = b"PROXY TCP4 192.0.2.7 192.0.2.2 4242 8443\r\n"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        network.request(None, "GET", "/", first=header)
    changed = daemon.request("PATCH", "/1.0", {"config": {"core.https_trusted_proxy": "127.0.0.1, ::1"}})
    assert changed.status == 200
    assert network.request(None, "GET", "/", first=header).status == 200
    assert network.request(None, "GET", "/").status == 200
    bad = daemon.request("PATCH", "/1.0", {"config": {"core.https_trusted_proxy": "proxy.example.com"}})
    assert bad.status == 400


def test_a_flood_of_half_open_clients_leaves_the_unix_socket_alone(daemon: Daemon) -> None:
    network = listen(daemon)
    crowd = [network.connect() for _ in range(300)]
    try:
        assert daemon.request("GET", "/1.0").status == 200
    finally:
        for one in crowd:
            one.close()
    eventually(lambda: is_served(network.port), what="the flood to be over")
