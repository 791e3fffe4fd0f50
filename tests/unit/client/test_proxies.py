"""Which proxy is taken."""

from __future__ import annotations

import pytest

from lightervisor.client.proxies import Proxies, chosen

BOTH = Proxies("http://plain:3128", "secure:3128")


def test_each_kind_of_url_has_its_own_proxy() -> None:
    assert BOTH.of("http://images.example/x") == "http://plain:3128"
    assert BOTH.of("https://images.example/x") == "http://secure:3128"
    assert Proxies("", "").of("https://images.example") == ""


@pytest.mark.parametrize(
    "url", ["https://localhost:1/x", "https://127.0.0.1", "https://127.9.9.9", "https://[::1]:8443"]
)
def test_this_machine_has_none(url: str) -> None:
    assert BOTH.of(url) == ""


@pytest.mark.parametrize(
    ("words", "host", "direct"),
    [
        ("*", "a.example", True),
        ("example", "a.example", True),
        (".example", "a.example", True),
        (".example", "example", True),
        ("example", "anexample", False),
        (" other , EXAMPLE ", "a.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("example:8443", "example", True),
        ("", "a.example", False),
    ],
)
def test_hosts_that_are_ignored(words: str, host: str, direct: bool) -> None:
    assert (Proxies("p:1", "p:1", words).of(f"https://{host}:8443/") == "") is direct


def test_the_configuration_comes_before_the_environment() -> None:
    environment = {"HTTPS_PROXY": "env:1", "http_proxy": "env:2", "no_proxy": "a"}
    assert chosen({"core.proxy_https": "own:1"}, environment) == ("env:2", "own:1", "a")
