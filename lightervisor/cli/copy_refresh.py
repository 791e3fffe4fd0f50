"""The configuration of a copy after `lxc copy --refresh`: the server refreshes its files, its client the rest."""

from __future__ import annotations

from lightervisor.client.light import url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

    Devices = dict[str, dict[str, str]]

_FIELDS = ("architecture", "config", "devices", "profiles", "description", "ephemeral", "stateful")


def follow(session: Session, server: Server, name: str, request: dict[str, Any]) -> None:
    """Give a copy the configuration that the request had for a new one.

    What is volatile stays its own, and so does its pool: LXD's client gives it its source's identity and addresses.
    """
    found: dict[str, Any] = server.get(url("instances", name))
    wanted = {key: request.get(key, found.get(key)) for key in _FIELDS}
    own = {k: v for k, v in as_map(found.get("config")).items() if k.startswith("volatile.")}
    wanted["config"] = {**own, **{k: v for k, v in as_map(request["config"]).items() if not k.startswith("volatile.")}}
    wanted["devices"] = _in_its_pool(request["devices"], as_map(found.get("devices")), found)
    if any(wanted[key] != found.get(key) for key in _FIELDS):
        session.run(server, server.put(url("instances", name), wanted))


def _in_its_pool(devices: Devices, own: Devices, found: dict[str, Any]) -> Devices:
    """The source's devices, with the root disk in the pool where the copy is."""
    adopted = {name: dict(device) for name, device in devices.items()}
    pool = next((one["pool"] for one in as_map(found.get("expanded_devices")).values() if _is_root(one)), "")
    roots = [device for device in adopted.values() if _is_root(device)]
    for device in roots:
        device["pool"] = pool
    if not roots:
        adopted.update({name: dict(device) for name, device in own.items() if _is_root(device)})
    return adopted


def _is_root(device: dict[str, str]) -> bool:
    return device.get("type") == "disk" and device.get("path") == "/" and not device.get("source")
