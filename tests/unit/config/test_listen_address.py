"""The spellings of core.https_address."""

from __future__ import annotations

import pytest

from lightervisor.config.listen_address import parse, port_number
from lightervisor.errors import Invalid


@pytest.mark.parametrize(
    ("text", "meant", "is_everywhere"),
    [
        (":8443", ":8443", True),
        (":", ":8443", True),
        ("[::]", "[::]:8443", True),
        ("::", "[::]:8443", True),
        ("[::]:8444", "[::]:8444", True),
        ("0.0.0.0", "0.0.0.0:8443", True),
        ("0.0.0.0:8444", "0.0.0.0:8444", True),
        ("192.0.2.1", "192.0.2.1:8443", False),
        ("192.0.2.1:", "192.0.2.1:8443", False),
        ("192.0.2.1:8444", "192.0.2.1:8444", False),
        ("[192.0.2.1]:8444", "192.0.2.1:8444", False),
        ("::1", "[::1]:8443", False),
        ("[::1]", "[::1]:8443", False),
        ("[::1]:8444", "[::1]:8444", False),
        ("example.com", "example.com:8443", False),
        ("example.com:8444", "example.com:8444", False),
        (":https", ":https", True),
    ],
)
def test_every_spelling_is_understood(text: str, meant: str, is_everywhere: bool) -> None:
    found = parse(text)
    assert (str(found), found.is_everywhere) == (meant, is_everywhere)


@pytest.mark.parametrize("text", ["*", "*:8443", "1.2.3", "2130706433:8443", "0x7f.1", "017700000001"])
def test_what_only_the_c_library_takes_for_an_address_does_not_resolve(text: str) -> None:
    with pytest.raises(Invalid, match="Couldn't resolve"):
        parse(text)


@pytest.mark.parametrize("text", ["[::1", "[::1]8443"])
def test_brackets_must_match(text: str) -> None:
    with pytest.raises(Invalid, match="missing ']' in address"):
        parse(text)


def test_ports_are_numbers_or_services() -> None:
    assert [port_number(text) for text in ("0", "08443", "65535", "https")] == [0, 8443, 65535, 443]


@pytest.mark.parametrize(
    ("port", "text"),
    [
        ("65536", "address 65536: invalid port"),
        ("-1", "address -1: invalid port"),
        ("abc", "address tcp/abc: unknown port"),
        ("٣", "address tcp/٣: unknown port"),
    ],
)
def test_other_ports_are_refused(port: str, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        port_number(port)
