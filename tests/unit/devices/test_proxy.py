"""What a proxy's options may be, and the rules that NAT needs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.devices.device import InstanceFacts, check_device, load_device
from lightervisor.devices.proxy_address import Endpoint, parse
from lightervisor.errors import Invalid
from lightervisor.firewall import nft
from lightervisor.firewall.proxy_rules import Forward, ruleset

GOOD = {"type": "proxy", "listen": "tcp:192.0.2.1:80", "connect": "tcp:10.0.0.2:80"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:127.0.0.1:80", Endpoint("tcp", "127.0.0.1", (80,))),
        ("udp:[::1]:1-3,9", Endpoint("udp", "::1", (1, 2, 3, 9))),
        ("tcp::80", Endpoint("tcp", "", (80,))),
        ("unix:/run/a:b", Endpoint("unix", "/run/a:b")),
        ("unix:@name", Endpoint("unix", "@name")),
    ],
)
def test_addresses_are_read(text: str, expected: Endpoint) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("foo:1.2.3.4:80", 'Unknown protocol type "foo"'),
        ("tcp", "Missing address"),
        ("tcp:127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("tcp:localhost:80", 'Not an IP address "localhost"'),
        ("tcp:::80", "address ::80: too many colons in address"),
        ("tcp:127.0.0.1:80-70", "End port should be higher than start port"),
        ("tcp:127.0.0.1:0", "Invalid port number '0'"),
        ("tcp:127.0.0.1:65536", "Invalid port number '65536'"),
        ("tcp:127.0.0.1:٣", "Invalid port number"),
        ("tcp:127.0.0.1:80,x", "Invalid port number 'x'"),
        ("tcp:127.0.0.1:80,80", "The same port twice"),
        ("unix:relative", "Not an absolute path"),
        ("unix:@", "Not an absolute path"),
    ],
)
def test_bad_addresses_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint.replace("(", r"\(")):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except Invalid:
        return
    assert found.kind in ("tcp", "udp", "unix")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"listen": ""}, 'Invalid value for device option "listen": Unknown protocol type ""'),
        ({"bind": "foo"}, 'Invalid binding side given. Must be "host" or "instance"'),
        ({"mode": "0666"}, "Only proxy devices for non-abstract unix sockets can carry uid, gid, or mode properties"),
        ({"listen": "unix:@x", "uid": "5"}, "Only proxy devices for non-abstract unix sockets can carry uid"),
        ({"security.uid": "-1"}, "Invalid value for a UNIX ID"),
        ({"connect": "udp:10.0.0.2:80", "proxy_protocol": "true"}, "The PROXY header can only be sent to tcp servers"),
        ({"nat": "true", "proxy_protocol": "true"}, "The PROXY header can only be sent to tcp servers in non-nat mode"),
        ({"listen": "tcp:1.2.3.4:80-82", "connect": "tcp:1.2.3.4:80-81"}, "Mismatch between listen"),
        ({"nat": "true", "bind": "instance"}, "Only host-bound proxies can use NAT"),
        ({"nat": "true", "connect": "udp:10.0.0.2:9"}, "Proxying tcp <-> udp is not supported when using NAT"),
        ({"nat": "true", "listen": "tcp:0.0.0.0:80"}, 'Cannot listen on wildcard address "0.0.0.0" when in nat mode'),
        ({"nat": "true", "listen": "tcp:127.0.0.1:80"}, "Cannot listen on loopback address"),
        ({"nat": "true", "listen": "tcp:[fd00::1]:80"}, "Cannot mix IP versions between listen and connect"),
        ({"foo": "bar"}, 'Invalid device option "foo"'),
        ({"listen": "unix:/run/a\nb"}, "control characters are not allowed"),
    ],
)
def test_bad_options_are_refused(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_device("p", {**GOOD, **options})
    assert caught.value.sentence().startswith('Invalid devices: Device validation failed for "p": ')
    assert complaint in caught.value.sentence()


def test_nat_wants_a_static_address() -> None:
    nics = {"eth0": {"type": "nic", "network": "net", "ipv4.address": "10.0.0.2"}}
    check_device("p", GOOD | {"nat": "true"})
    load_device("p", GOOD | {"nat": "true"}, InstanceFacts(name="c1", devices=nics)).check_host()
    everywhere = GOOD | {"nat": "true", "connect": "tcp:0.0.0.0:80"}
    load_device("p", everywhere, InstanceFacts(name="c1", devices=nics)).check_host()
    text = 'Connect IP "10.0.0.2" must be one of the instance\'s static IPv4 addresses'
    with pytest.raises(Invalid, match=text):
        load_device("p", GOOD | {"nat": "true"}, InstanceFacts(name="c1")).check_host()


def rules(forward: Forward) -> dict[str, str]:
    commands = json.loads(nft.transaction(ruleset("c1.p", forward)))["nftables"]
    added = [command["add"]["rule"] for command in commands if "rule" in command.get("add", {})]
    return {rule["chain"]: json.dumps(rule["expr"]) for rule in added}


def test_a_range_is_one_rule() -> None:
    found = rules(Forward("tcp", "192.0.2.1", range(1000, 11000), "10.0.0.2", range(1000, 11000)))
    assert set(found) == {"prert.c1.p", "out.c1.p", "pstrt.c1.p"}
    assert '"range": [1000, 10999]' in found["prert.c1.p"]
    assert '{"dnat": {"family": "ip", "addr": "10.0.0.2"}}' in found["prert.c1.p"]


def test_ports_are_mapped_one_by_one_or_all_to_one() -> None:
    mapped = rules(Forward("udp", "fd00::1", (80, 90), "fd00::2", (8080, 8090)))["prert.c1.p"]
    assert '"set": [[80, 8080], [90, 8090]]' in mapped
    assert '"ip6"' in mapped
    assert '"port": 53}}' in rules(Forward("udp", "fd00::1", (80, 90), "fd00::2", (53,)))["out.c1.p"]
