"""What `lxd init` decides: flags or answers become one preseed document. No request is sent from here.

Source: LXD, lxd init; the questions are in its order and words. What this server does not offer is asked about all
the same, so that answers prepared for LXD fit, and refused when it is wanted.
"""

import contextlib
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface
from typing import Any

from lightervisor.daemon import init_storage
from lightervisor.daemon.init_host import Host, Questions, Wishes
from lightervisor.daemon.preseed import Preseed, blank
from lightervisor.errors import Invalid

ADDRESS_WORDS = ("auto", "none")


def automatic(host: Host, wishes: Wishes | None = None) -> Preseed:
    """`lxd init --auto`: a pool, a bridge and the default profile, as far as missing. Raises Invalid as LXD does."""
    wanted = wishes or Wishes()
    backend = wanted.storage_backend or host.best_driver()
    _check_wishes(wanted, backend, host)
    preseed, devices = blank(), dict[str, dict[str, str]]()
    if wanted.network_address:
        preseed["config"]["core.https_address"] = _bound(wanted.network_address, wanted.network_port or "8443")
        if wanted.trust_password:
            preseed["config"]["core.trust_password"] = wanted.trust_password
    if not host.pools:
        preseed["storage_pools"].append(init_storage.pool("default", backend, init_storage.config_of(wanted)))
        devices["root"] = {"type": "disk", "path": "/", "pool": "default"}
    if not host.networks:
        bridge = host.free_bridge()
        preseed["networks"].append(_bridge(bridge, {"ipv4.address": "auto", "ipv6.address": "auto"}))
        devices["eth0"] = {"type": "nic", "name": "eth0", "network": bridge}
    _add_profile(preseed, devices)
    return preseed


def _check_wishes(wanted: Wishes, backend: str, host: Host) -> None:
    sources = [wanted.storage_pool, wanted.storage_create_device, wanted.storage_create_loop]
    rules = (
        (backend not in host.drivers, f"The requested backend '{backend}' isn't supported by lxd"),
        (
            backend in init_storage.LIKE_DIR and any(sources),
            "None of --storage-pool, --storage-create-device or --storage-create-loop may be used with the "
            f"'{backend}' backend",
        ),
        (not wanted.network_address and wanted.network_port, "--network-port can't be used without --network-address"),
        (
            not wanted.network_address and wanted.trust_password,
            "--trust-password can't be used without --network-address",
        ),
    )
    for applies, text in rules:
        if applies:
            raise Invalid("lxd init", text=text, remedy=f"known backends: {', '.join(host.drivers)}")


def interactive(ask: Questions, host: Host) -> Preseed:
    """The questions of `lxd init`."""
    preseed, devices = blank(), dict[str, dict[str, str]]()
    _refused_if_wanted(ask, "Would you like to use LXD clustering?", "Clustering is not offered by this server yet.")
    init_storage.ask(ask, host, preseed, devices)
    _refused_if_wanted(ask, "Would you like to connect to a MAAS server?", "MAAS is not offered by this server yet.")
    _ask_network(ask, host, preseed, devices)
    _ask_server(ask, host, preseed)
    _add_profile(preseed, devices)
    return preseed


def _refused_if_wanted(ask: Questions, question: str, complaint: str) -> None:
    while ask.yes(question, default=False):
        ask.say(f"{complaint}\n")


def _ask_network(ask: Questions, host: Host, preseed: Preseed, devices: dict[str, dict[str, str]]) -> None:
    if not ask.yes("Would you like to create a new local network bridge?", default=True):
        question = "Would you like to configure LXD to use an existing bridge or host interface?"
        if ask.yes(question, default=False):
            parent = ask.text("Name of the existing bridge or host interface", "", lambda name: _missing(host, name))
            kind = "bridged" if host.interfaces[parent] == "bridge" else "macvlan"
            devices["eth0"] = {"type": "nic", "nictype": kind, "name": "eth0", "parent": parent}
        return

    def name_complaint(name: str) -> str:
        taken = f'The requested network bridge "{name}" already exists. Please choose another name.'
        return taken if name in host.interfaces else ""

    bridge, config = ask.text("What should the new bridge be called?", "lxdbr0", name_complaint), dict[str, str]()
    for key, word in (("ipv4", "IPv4"), ("ipv6", "IPv6")):
        question = f"What {word} address should be used? (CIDR subnet notation, “auto” or “none”)"
        address = ask.text(question, "auto", lambda text, key=key: _address_complaint(text, 4 if key == "ipv4" else 6))
        config[f"{key}.address"] = address
        if address not in ADDRESS_WORDS:
            wants_nat = ask.yes(f"Would you like LXD to NAT {word} traffic on your bridge?", default=True)
            config[f"{key}.nat"] = "true" if wants_nat else "false"
    preseed["networks"].append(_bridge(bridge, config))
    devices["eth0"] = {"type": "nic", "name": "eth0", "network": bridge}


def _missing(host: Host, name: str) -> str:
    return "" if name in host.interfaces else "The requested interface doesn't exist. Please choose another one."


def _address_complaint(text: str, version: int) -> str:
    if text in ADDRESS_WORDS:
        return ""
    with contextlib.suppress(ValueError):
        if "/" in text and ip_interface(text).version == version:
            return ""
    return f"not an IPv{version} address in CIDR notation"


def _ask_server(ask: Questions, host: Host, preseed: Preseed) -> None:
    config: dict[str, Any] = preseed["config"]
    question = "Would you like the LXD server to be available over the network?"
    if "core.https_address" not in host.keys:
        _refused_if_wanted(ask, question, "This server cannot be reached over the network yet.")
    elif ask.yes(question, default=False):
        address = ask.text("Address to bind LXD to (not including port)", "all", _bind_complaint)
        port = ask.text("Port to bind LXD to", "8443", lambda text: "" if text.isdecimal() else "not a number")
        config["core.https_address"] = _bound(address, port)
        if "core.trust_password" in host.keys:
            config["core.trust_password"] = ask.password("Trust password for new clients")
    is_updating = ask.yes("Would you like stale cached images to be updated automatically?", default=True)
    if not is_updating and "images.auto_update_interval" in host.keys:
        config["images.auto_update_interval"] = "0"


def _bound(address: str, port: str) -> str:
    host = "::" if address == "all" else address.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_complaint(text: str) -> str:
    with contextlib.suppress(ValueError):
        if text == "all" or ip_address(text):
            return ""
    return f'"{text}" is not an IP address'


def _add_profile(preseed: Preseed, devices: Mapping[str, Mapping[str, str]]) -> None:
    if devices:
        preseed["profiles"].append({"config": {}, "description": "", "devices": dict(devices), "name": "default"})


def _bridge(name: str, config: Mapping[str, str]) -> dict[str, Any]:
    return {"config": dict(config), "description": "", "name": name, "type": "bridge", "project": "default"}
