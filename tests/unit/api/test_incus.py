"""Incus' headers."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from lightervisor.api import incus


def test_incus_headers_are_read_as_ours() -> None:
    request = make_mocked_request(
        "POST", "/1.0/images", {"X-Incus-public": "true", "X-Incus-Fingerprint": "ab", "A": "b"}
    )
    headers = incus.understood(request).headers
    assert (headers["X-LXD-public"], headers["X-LXD-fingerprint"], headers["A"]) == ("true", "ab", "b")


def test_any_other_request_stays_the_same() -> None:
    request = make_mocked_request("POST", "/1.0/images", {"X-LXD-public": "true"})
    assert incus.understood(request) is request
