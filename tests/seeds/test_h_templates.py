"""Rows H28, H29: templates of images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell

SEED = "/var/lib/cloud/seed/nocloud-net"
# What images for cloud-init of 2016 and of today have, for upstart and for ifupdown.
TEMPLATES = {
    "hostname.tpl": "{{ container.name }}\n",
    "upstart-override.tpl": "manual\n",
    "cloud-init-meta.tpl": (
        "#cloud-config\ninstance-id: {{ container.name }}\nlocal-hostname: {{ container.name }}\n"
        '{{ config_get("user.meta-data", "") }}\n'
    ),
    "cloud-init-user.tpl": '{{ config_get("user.user-data", properties.default) }}\n',
    "cloud-init-vendor.tpl": (
        '{{ config_get("cloud-init.vendor-data", config_get("user.vendor-data", properties.default)) }}\n'
    ),
    "interfaces.tpl": (
        '{% if config_get("user.network_mode", "") == "dhcp" %}auto eth0\niface eth0 inet dhcp\n'
        '{% elif config_get("user.network_mode", "") == "link-local" %}auto eth0\niface eth0 inet6 manual\n'
        "{% else %}{# as it is #}iface eth0 inet manual\n{% endif %}"
    ),
    "about.tpl": (
        "{{ trigger }} {{ path }} {{ container.name }} {{ config.nothing }}{{ properties.word|upper }}\n"
        "{% for name, device in devices sorted %}{{ name }}={{ device.type }} {% endfor %}\n"
    ),
}


@pytest.fixture
def image(daemon: Daemon, shell: Shell, folder: Path) -> Iterator[str]:
    """An image with the templates and the metadata of the articles."""
    default = {"default": "#cloud-config\n{}\n"}
    entries: dict[str, object] = {
        "/etc/hostname": {"when": ["create", "copy"], "template": "hostname.tpl"},
        "/etc/network/interfaces": {"when": ["create"], "template": "interfaces.tpl"},
        "/etc/about": {"when": ["create"], "template": "about.tpl", "properties": {"word": "said"}},
        f"{SEED}/meta-data": {"when": ["start"], "template": "cloud-init-meta.tpl"},
        f"{SEED}/user-data": {"when": ["start"], "template": "cloud-init-user.tpl", "properties": default},
        f"{SEED}/vendor-data": {"when": ["start"], "template": "cloud-init-vendor.tpl", "properties": default},
    }
    for name in ("console", "tty1", "tty2", "tty3", "tty4"):
        entries[f"/etc/init/{name}.override"] = {"when": ["create"], "template": "upstart-override.tpl"}
    metadata = images.METADATA + f"  mark: {folder}\n" + f"templates: {json.dumps(entries)}\n"
    extra = {f"templates/{name}": text.encode() for name, text in TEMPLATES.items()}
    images.unified(folder / "image.tar.gz", metadata=metadata, extra=extra)
    before = set(daemon.request("GET", "/1.0/images").metadata)
    shell("lxc image import image.tar.gz --alias articles").ok()
    yield "articles"
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)


def test_h28_files_are_made_of_templates(shell: Shell, image: str, name: str) -> None:
    shell(f"lxc launch {image} {name} -c user.network_mode=dhcp").ok()
    shown = shell(f"lxc exec {name} -- cat /etc/hostname /etc/network/interfaces /etc/about").ok().stdout
    assert shown == (f"{name}\nauto eth0\niface eth0 inet dhcp\ncreate /etc/about {name} SAID\neth0=nic root=disk \n")
    shell(f"lxc exec {name} -- sh -c 'echo mine >/etc/about'").ok()
    shell(f"lxc restart -f {name}").ok()
    assert shell(f"lxc exec {name} -- cat /etc/about").ok().stdout == "mine\n"


def test_h29_seeds_for_cloud_init_and_overrides_for_upstart(shell: Shell, image: str, name: str) -> None:
    shell(f"lxc init {image} {name}").ok()
    shell(f"lxc config set {name} user.user-data -", stdin="#cloud-config\nruncmd: [[touch, '/run/a&b']]\n").ok()
    shell(f"lxc start {name}").ok()
    assert shell(f"lxc exec {name} -- cat {SEED}/meta-data").ok().stdout == (
        f"#cloud-config\ninstance-id: {name}\nlocal-hostname: {name}\n\n"
    )
    assert shell(f"lxc exec {name} -- cat {SEED}/user-data {SEED}/vendor-data").ok().stdout == (
        "#cloud-config\nruncmd: [[touch, '/run/a&b']]\n#cloud-config\n{}\n\n"
    )
    listed = shell(f"lxc exec {name} -- sh -c 'cd /etc/init && cat *.override && ls'").ok().stdout
    assert listed == "manual\n" * 5 + "".join(
        f"{one}.override\n" for one in ("console", "tty1", "tty2", "tty3", "tty4")
    )
    shell(f"lxc config set {name} user.user-data='#cloud-config' && lxc restart -f {name}").ok()
    assert shell(f"lxc exec {name} -- cat {SEED}/user-data").ok().stdout == "#cloud-config\n"
