"""Attack 16: a character that ends a line, or that terminals obey, in the value of any key of anything."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

import lightervisor.devices
import lightervisor.networks.drivers
import lightervisor.storage.drivers
from lightervisor.config import instance_keys, server_keys
from lightervisor.config.key import REGISTRY, Key
from lightervisor.errors import Invalid

DECLARED = (instance_keys, server_keys)  # importing them declares their keys
for _package in (lightervisor.devices, lightervisor.networks.drivers, lightervisor.storage.drivers):
    for _module in pkgutil.iter_modules(_package.__path__):
        import_module(f"{_package.__name__}.{_module.name}")

SEVERAL_LINES = {
    "cloud-init.network-config", "cloud-init.user-data", "cloud-init.vendor-data", "image.*", "raw.apparmor",
    "raw.dnsmasq", "raw.idmap", "raw.lxc", "raw.qemu", "raw.qemu.conf", "raw.seccomp", "security.syscalls.allow",
    "security.syscalls.blacklist", "security.syscalls.deny", "security.syscalls.whitelist", "user.*",
    "user.meta-data", "user.network-config", "user.user-data", "user.vendor-data",
}  # fmt: skip
"""Keys whose values are texts of several lines: each has a reader of its own, or is never written to a line."""
BEFORE = ("", "x", "1", "true", "1MiB", "1-1", "a=b", "10.0.0.1", "/x", "https://x/", "2h", "tcp:127.0.0.1:80", "00:16")
CONTROLS = ["\n", "\r", "\0", "\x0b", "\x1b", "\x7f", "\x85", "\x9b"]


def takes(key: Key, value: str) -> bool:
    try:
        key.check(value)
    except Invalid:
        return False
    return True


@pytest.mark.parametrize("key", REGISTRY.keys(), ids=lambda key: f"{key.scope}:{key.name}")
def test_16_no_key_takes_them(key: Key) -> None:
    if key.name in SEVERAL_LINES:
        assert not takes(key, "a\0b")
        return
    for control in CONTROLS:
        for word in BEFORE:
            for value in (f"{word}{control}{word}", f"{word}{control}", f"{control}{word}"):
                assert not takes(key, value), value


@pytest.mark.parametrize("control", CONTROLS)
def test_16_no_key_is_named_so(control: str) -> None:
    for scope in ("instance", "server"):
        for name in (f"user.a{control}b", f"environment.A{control}B", f"limits{control}"):
            with pytest.raises(Invalid):
                REGISTRY.check(scope, name, "x")
