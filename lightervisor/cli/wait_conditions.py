"""What `lxc wait` can wait for. Each condition looks once and says what is missing still.

A condition is made of its words ("tcp:22"), gets the instance with its state (as `recursion=1` shows it) and returns ""
when it holds, else why it does not. `Hopeless` is raised for what waiting does not change.
"""

from __future__ import annotations

from lightervisor.cli.errors import CommandError
from lightervisor.cli.list_columns import addresses
from lightervisor.client import light_json, light_operations
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lightervisor.client.light import Server

    Condition = Callable[[Server, dict[str, Any]], str]

WORDS = "ip, ipv4, ipv6, cloud-init, ready, running, stopped or tcp:PORT"
NOT_RUNNING = ("running", "stopped")
"""Conditions that an instance need not run for."""
_RESULTS, _PROGRESS = "/run/cloud-init/result.json", "/run/cloud-init/status.json"
_PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/bin/cloud-init")
_LISTENING, _LOOPBACK = "0A", ("0100007F", "0" * 24 + "01000000")


class Hopeless(CommandError):
    """It will not come true however long one waits."""


def parse(text: str) -> list[tuple[str, Condition]]:
    """The conditions that "ip,tcp:22" names, each with its words. Raises CommandError."""
    return [(word, _condition(word)) for word in (part.strip() for part in text.split(","))]


def _condition(word: str) -> Condition:
    if word in _NAMED:
        return _NAMED[word]
    kind, _, port = word.partition(":")
    if kind == "tcp" and port.isdecimal() and 0 < int(port) < 65536:
        return lambda server, instance: _listens(server, instance, int(port))
    raise CommandError(f"Cannot wait for {word!r}", f"it is {WORDS}, several with commas between them")


def _has_address(*families: str) -> Condition:
    def look(_server: Server, instance: dict[str, Any]) -> str:
        if any(addresses(instance, family) for family in families):
            return ""
        cards = {
            name: card
            for name, card in as_map(as_map(instance.get("state")).get("network")).items()
            if card.get("type") != "loopback"
        }
        if not cards:
            return "it has no network card" if instance.get("state") else "it is being started"
        what = " or ".join({"inet": "IPv4", "inet6": "IPv6"}[family] for family in families)
        shown = ", ".join(f"{name} is {card.get('state')}" for name, card in sorted(cards.items()))
        return f"no {what} address yet: {shown}"

    return look


def _is_ready(server: Server, instance: dict[str, Any]) -> str:
    if not server.has("instance_ready_state"):
        raise Hopeless('The server is missing the required "instance_ready_state" API extension')
    return "" if instance.get("status") == "Ready" else 'it has not said so: PATCH {"state": "Ready"} to /dev/lxd/sock'


def _is(*states: str) -> Condition:
    return lambda _server, instance: "" if instance.get("status") in states else f"it is {instance.get('status')}"


def _cloud_init_is_done(server: Server, instance: dict[str, Any]) -> str:
    name = str(instance["name"])
    results = _json(server, name, _RESULTS)
    if results is None:
        return _cloud_init_state(server, name)
    errors: list[object] = as_map(results.get("v1")).get("errors") or []
    if errors:
        told = "; ".join(str(error) for error in errors)
        raise Hopeless(
            f"cloud-init of {name} ended with errors: {told}", f"lxc exec {name} -- cloud-init status --long"
        )
    return ""


def _cloud_init_state(server: Server, name: str) -> str:
    stages = as_map((_json(server, name, _PROGRESS) or {}).get("v1"))
    if stages.get("stage"):
        return f"cloud-init is at {stages['stage']}"
    if stages:
        return "cloud-init is between two stages"
    if not any(_text(server, name, program, is_wanted=False) is not None for program in _PROGRAMS):
        raise Hopeless(f"{name} has no cloud-init", "wait for something else, or use an image that has it")
    if _text(server, name, "/run/cloud-init/disabled") is not None:
        raise Hopeless(f"cloud-init of {name} is disabled", f"lxc exec {name} -- cat /run/cloud-init/ds-identify.log")
    return "cloud-init has not begun"


def _json(server: Server, name: str, path: str) -> dict[str, Any] | None:
    """A file of the instance as JSON; None while it is not there, or not whole yet."""
    text = _text(server, name, path)
    try:
        return None if text is None else as_map(light_json.loads(text))
    except ValueError:
        return None


def _text(server: Server, name: str, path: str, *, is_wanted: bool = True) -> bytes | None:
    """The content of a file of the instance, None where there is none; b"" for one that is not wanted."""
    from lightervisor.cli.file_tree import GuestFiles

    files = GuestFiles(server, name)
    try:
        found = files.open(path)
        if not is_wanted:
            server.close()  # the rest is not read
            return b""
        return files.follow(found, path)[0].read()
    except ApiError as error:
        if error.code != 404:
            raise
        return None


def _listens(server: Server, instance: dict[str, Any], port: int) -> str:
    """Whether something inside listens at a TCP port of an address that others reach."""
    name = str(instance["name"])
    table = _output(server, name, ["cat", "/proc/net/tcp", "/proc/net/tcp6"])
    local = [words[1].split(":") for line in table.splitlines() if (words := line.split())[3:4] == [_LISTENING]]
    own = {int(number, 16) for address, number in local if address in _LOOPBACK}
    others = {int(number, 16) for address, number in local if address not in _LOOPBACK}
    if port in others:
        return ""
    if port in own:
        return f"port {port} is listened at, but for connections of {name} itself (127.0.0.1 or ::1) alone"
    at = ", ".join(map(str, sorted(others)))
    return f"nothing listens at port {port}, but at {at}" if at else f"nothing listens at port {port} nor at another"


def _output(server: Server, name: str, command: list[str]) -> str:
    """What a command in the instance prints; raises Hopeless where there is no such command."""
    request: dict[str, Any] = {"command": command, "wait-for-websocket": True, "interactive": False, "environment": {}}
    operation = server.post(url("instances", name, "exec"), request)["metadata"]
    secrets: dict[str, str] = operation["metadata"]["fds"]
    path = ("operations", light_operations.identifier(operation), "websocket")
    sockets = {key: server.websocket(url(*path, secret=secret)) for key, secret in secrets.items()}
    try:
        sockets["0"].send_text("")
        parts: list[bytes] = []
        while (message := sockets["1"].receive()) is not None and message[1]:
            parts.append(message[1])
    finally:
        for socket in sockets.values():
            socket.close()
    ended = light_operations.wait_for_end(server, operation)
    if int(as_map(ended.get("metadata")).get("return", 0)) in (126, 127):
        raise Hopeless(f"{name} has no command {command[0]!r} to tell what listens in it")
    return b"".join(parts).decode(errors="replace")


_NAMED: dict[str, Condition] = {
    "ip": _has_address("inet", "inet6"),
    "ipv4": _has_address("inet"),
    "ipv6": _has_address("inet6"),
    "ready": _is_ready,
    "running": _is("Running", "Ready"),
    "stopped": _is("Stopped"),
    "cloud-init": _cloud_init_is_done,
}
