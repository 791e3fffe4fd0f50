"""The registry of keys: every name has one declaration, unknown ones get a hint, merging follows LXD's order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.config import names
from lightervisor.config.instance_keys import SCOPE
from lightervisor.config.key import REGISTRY, Key, Registry
from lightervisor.config.merge import expand, root_device
from lightervisor.config.types import Text
from lightervisor.errors import Invalid

CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=3))


@dataclass
class Layer:
    """A profile as far as merging looks at it."""

    config: dict[str, str] = field(default_factory=dict[str, str])
    devices: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


def test_a_name_is_declared_once() -> None:
    registry = Registry()
    one = Key(name="a.b", type=Text, scope="x")
    registry.add(one)
    registry.add(Key(name="a.b", type=Text, scope="y"))
    with pytest.raises(ValueError, match="twice"):
        registry.add(one)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("user.", None),
        ("user.a.b", "user.*"),
        ("limits.memory", "limits.memory"),
        ("volatile.eth0.hwaddr", "volatile.*.hwaddr"),
        ("volatile.a.b.hwaddr", "volatile.*.hwaddr"),
        ("volatile.hwaddr", None),
        ("volatile.eth0.nothing", None),
        ("limits", None),
    ],
)
def test_a_declaration_is_found_by_its_pattern(name: str, declared: str | None) -> None:
    found = REGISTRY.lookup(SCOPE, name)
    assert (found.name if found else None) == declared


def test_an_unknown_key_gets_a_hint() -> None:
    with pytest.raises(Invalid, match=r"^Unknown configuration key: limits\.memori$") as refused:
        REGISTRY.check(SCOPE, "limits.memori", "1GB")
    assert "limits.memory" in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("limits.memori", "limits.memory"),
        ("environnment.LANG", "environment.LANG"),
        ("linux.sysctrl.net.ipv4.ip_forward", "linux.sysctl.net.ipv4.ip_forward"),
        ("limits.kernel.nofiles", "limits.kernel.nofile"),
        ("security.privilegd", "security.privileged"),
        ("boot.auto_start", "boot.autostart"),
        ("user.", ""),
        ("xyzzy", ""),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(Invalid) as refused:
        REGISTRY.check(SCOPE, name, "1")
    assert refused.value.remedy == (f'did you mean "{meant}"?' if meant else "")


@pytest.mark.parametrize("name", ["environment.A\nB", "user.a\0", "linux.sysctl.a\x7f", "user.\u202ea"])
def test_a_name_with_control_characters_is_unknown(name: str) -> None:
    with pytest.raises(Invalid, match="Unknown configuration key"):
        REGISTRY.check(SCOPE, name, "1")


def test_every_key_is_explained() -> None:
    declared = REGISTRY.keys()
    assert [key.name for key in declared if not key.help] == []


@given(profiles=st.lists(CONFIGS, max_size=3), own=CONFIGS)
def test_later_wins(profiles: list[dict[str, str]], own: dict[str, str]) -> None:
    merged = expand([Layer(config) for config in profiles], own, {}).config
    for name in {"a", "b", "c"}:
        given_values = [config[name] for config in (*profiles, own) if name in config]
        assert merged.get(name) == (given_values[-1] if given_values else None)


def test_a_device_is_replaced_whole_and_never_shared() -> None:
    profile = Layer(
        devices={"root": {"type": "disk", "path": "/", "pool": "p", "size": "1GB"}, "eth0": {"type": "nic"}}
    )
    merged = expand([profile], {}, {"root": {"type": "disk", "path": "/", "pool": "q"}}).devices
    assert merged["root"] == {"type": "disk", "path": "/", "pool": "q"}
    merged["eth0"]["mtu"] = "9000"
    assert profile.devices["eth0"] == {"type": "nic"}
    found = root_device(merged)
    assert found is not None
    assert found[1]["pool"] == "q"


def test_a_disk_without_a_pool_is_no_root() -> None:
    assert root_device({"d": {"type": "disk", "path": "/"}, "e": {"type": "disk", "path": "/srv", "pool": "p"}}) is None


@pytest.mark.parametrize("name", ["c1", "a", "a-b", "A9", "x" * 63])
def test_good_names(name: str) -> None:
    names.check_instance(name)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "Name must be 1-63 characters long"),
        ("x" * 64, "Name must be 1-63 characters long"),
        ("a_b", "Name can only contain alphanumeric and hyphen characters"),
        ("a.b", "Name can only contain alphanumeric and hyphen characters"),
        ("é", "Name can only contain alphanumeric and hyphen characters"),
        ("..", "Name can only contain alphanumeric and hyphen characters"),
        ("a\n", "Name can only contain alphanumeric and hyphen characters"),
        ("-a", 'Name must not start with "-" character'),
        ("1a", "Name must not start with a number"),
        ("a-", 'Name must not end with "-" character'),
    ],
)
def test_bad_names_get_the_texts_of_lxd(name: str, complaint: str) -> None:
    with pytest.raises(Invalid) as refused:
        names.check_instance(name)
    assert refused.value.sentence() == f"Invalid instance name: {complaint}"


@given(st.text(max_size=70))
def test_no_name_leads_out_of_its_directory(name: str) -> None:
    try:
        names.check_instance(name)
    except Invalid:
        return
    assert not set(name) & set("/.\0\n ")
    assert names.volume_name("default", name) == name
