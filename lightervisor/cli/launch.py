"""`lxc init` and `lxc launch`."""

from __future__ import annotations

import sys

from lightervisor.cli import image_source, pairs, power
from lightervisor.cli.errors import CommandError, WrongArguments
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server

_NO_NETWORK = """
The instance you are starting doesn't have any network attached to it.
  To create a new network, use: lxc network create
  To attach a network to an instance, use: lxc network attach
"""


def init(session: Session, arguments: list[str], flags: Flags) -> None:
    """Create an instance."""
    _create(session, arguments, flags)


def launch(session: Session, arguments: list[str], flags: Flags) -> int:
    """Create an instance, start it, and wait until it is as far as `--wait` says."""
    if flags.given("wait"):
        from lightervisor.cli import wait_conditions

        wait_conditions.parse(flags.text("wait"))  # before there is an instance
    server, name = _create(session, arguments, flags)
    session.say(f"Starting {name}")
    with power.log_hint(server, name):
        session.run(server, server.put(url("instances", name, "state"), power.change("start")))
    status = 0
    if flags.given("wait"):
        from lightervisor.cli import wait

        status = wait.until(session, server, name, wanted=flags.text("wait"), timeout_s=flags.number("timeout"))
    if flags.given("console"):
        from lightervisor.cli import console

        console.attach(server, name, flags.text("console"))
    return status


def _create(session: Session, arguments: list[str], flags: Flags) -> tuple[Server, str]:
    image, target = _image_and_target(session, arguments, flags)
    remote, name = session.parse(target) if target else (session.config.default_remote, "")
    server = session.server(remote)
    request = {"name": name, **_wanted(server, flags)}
    request["type"] = "virtual-machine" if flags.on("vm") else "container"
    request["instance_type"] = flags.text("type")
    if flags.on("empty"):
        request["source"] = {"type": "none"}
    else:
        request["source"], kind = image_source.resolve(session, remote, image)
        request["type"] = kind or request["type"]
    session.say(f"Creating {name}" if name else "Creating the instance")
    try:
        envelope = server.scoped_to(member=flags.text("target")).post(url("instances"), request)
        operation = session.run(server, envelope, "Retrieving image")
    except ApiError as error:
        if "server" not in request["source"]:
            raise
        # LXD says first what failed when the server was to fetch the image of another one.
        raise CommandError(f"Failed instance creation: {error.message()}") from error
    if not name:
        name = created_name(operation)
        session.say(f"Instance name is: {name}")
    _warn_without_network(session, server, name)
    return server, name


def _image_and_target(session: Session, arguments: list[str], flags: Flags) -> tuple[str, str]:
    if flags.on("empty"):
        if len(arguments) > 1:
            raise CommandError("--empty cannot be combined with an image name")
        return "", arguments[0] if arguments else ""
    if not arguments:
        raise WrongArguments
    if len(arguments) == 2:
        return arguments[0], arguments[1]
    # Without a name the instance goes where its image is, if instances can live there.
    remote, _ = session.parse(arguments[0])
    is_server = session.config.remote(remote).get("protocol", "lxd") == "lxd"
    return arguments[0], f"{remote}:" if is_server else ""


def _wanted(server: Server, flags: Flags) -> dict[str, Any]:
    """Configuration, devices, profiles and ephemeral: standard input under the flags."""
    wanted: dict[str, Any] = {}
    if not sys.stdin.isatty():
        text = sys.stdin.read()
        if text.strip():
            from lightervisor.cli import yaml_reader

            wanted = yaml_reader.load_mapping(text)
    config: dict[str, str] = dict(as_map(wanted.get("config")))
    config.update(pairs.parse(flags.many("config")))
    devices: dict[str, dict[str, str]] = dict(as_map(wanted.get("devices")))
    if flags.on("no-profiles"):
        wanted["profiles"] = []
    elif flags.given("profile"):
        wanted["profiles"] = [name for name in flags.many("profile") if name]
    if flags.text("network"):
        devices["eth0"] = network_device(server, flags.text("network"))
    if flags.text("storage"):
        pool = flags.text("storage")
        _look_up(server, "storage pool", url("storage-pools", pool), pool)
        devices["root"] = {"type": "disk", "path": "/", "pool": pool}
    override_devices(server, devices, pairs.devices(flags.many("device")), wanted.get("profiles"))
    wanted.update(config=config, devices=devices)
    if flags.on("ephemeral"):
        wanted["ephemeral"] = True
    return wanted


def network_device(server: Server, name: str) -> dict[str, str]:
    """The nic that joins a network."""
    network = _look_up(server, "network", url("networks", name), name)
    if network.get("managed"):
        return {"name": "eth0", "type": "nic", "network": name}
    kind = "bridged" if network.get("type") == "bridge" else "macvlan"
    return {"name": "eth0", "type": "nic", "nictype": kind, "parent": name}


def _look_up(server: Server, kind: str, path: str, name: str) -> dict[str, Any]:
    try:
        return server.get(path)
    except ApiError as error:
        raise CommandError(f'Failed loading {kind} "{name}": {error.message()}') from error


def override_devices(
    server: Server,
    devices: dict[str, dict[str, str]],
    overrides: dict[str, dict[str, str]],
    profiles: list[str] | None,
) -> None:
    """Apply `--device` flags; a device of a profile is copied first."""
    for name, changes in overrides.items():
        if name not in devices:
            devices[name] = _profile_device(server, name, ["default"] if profiles is None else profiles)
        devices[name].update(changes)


def _profile_device(server: Server, name: str, profiles: list[str]) -> dict[str, str]:
    for profile in reversed(profiles):
        devices = as_map(server.get(url("profiles", profile)).get("devices"))
        if name in devices:
            return dict(devices[name])
    raise CommandError(f'Cannot override config for device "{name}": Device not found in profile devices')


def created_name(operation: dict[str, Any]) -> str:
    """The name the server chose for what an operation created."""
    resources: dict[str, Any] = as_map(operation.get("resources"))
    for kind in ("instances", "containers"):
        for path in resources.get(kind) or ():
            return str(path).partition("?")[0].rpartition("/")[2]
    raise CommandError("Didn't get any affected image, instance or snapshot from server")


def _warn_without_network(session: Session, server: Server, name: str) -> None:
    instance = server.get(url("instances", name))
    if not any(device.get("type") == "nic" for device in as_map(instance.get("expanded_devices")).values()):
        session.warn(_NO_NETWORK)
