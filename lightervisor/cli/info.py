"""`lxc info`: an instance's state, or the server."""

from __future__ import annotations

from lightervisor.cli import answers, formats, harmless, units
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, url
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lightervisor.cli.flags import Flags
    from lightervisor.cli.session import Session
    from lightervisor.client.light import Server


def run(session: Session, arguments: list[str], flags: Flags) -> None:
    """Show an instance or, without one, the server."""
    server, name = session.resolve(arguments[0] if arguments else "", member=flags.text("target"))
    if name:
        if flags.text("target"):
            raise CommandError("--target cannot be used with instances")
        report = instance_report(server.get(url("instances", name, recursion=1)), _state(server, name))
        session.write(harmless.line(report))
        if flags.on("show-log"):
            session.write(f"\nLog:\n\n{harmless.line(_log(server, name))}\n")
    elif flags.on("resources"):
        from lightervisor.cli import info_resources

        session.write(info_resources.report(server.get(url("resources"))))
    else:
        session.write(formats.yaml(_server_report(server)))


def _state(server: Server, name: str) -> dict[str, Any]:
    return server.get(url("instances", name, "state"))


def _server_report(server: Server) -> dict[str, Any]:
    info: dict[str, Any] = server.get("/1.0")
    drivers = info.get("environment", {}).get("storage_supported_drivers")
    if drivers:
        # LXD's JSON writes these keys with a capital (Go's names), its YAML without.
        lower = [{key.lower(): value for key, value in driver.items()} for driver in drivers]
        info["environment"]["storage_supported_drivers"] = lower
    return info


def _log(server: Server, name: str) -> str:
    try:
        response = server.request("GET", url("instances", name, "logs", "lxc.log"))
        return answers.content(response).decode(errors="replace")
    except ApiError as error:
        if error.code != 404:
            raise
        return ""


def instance_report(instance: dict[str, Any], state: dict[str, Any]) -> str:
    """The report on one instance."""
    kind = str(instance.get("type") or "container")
    lines = [f"Name: {instance['name']}"]
    if instance.get("description"):
        lines.append(f"Description: {instance['description']}")
    lines += [f"Status: {str(instance['status']).upper()}"]
    lines += [f"Type: {kind} (ephemeral)" if instance.get("ephemeral") else f"Type: {kind}"]
    lines += [f"Architecture: {instance.get('architecture', '')}"]
    if instance.get("location") not in (None, "", "none"):
        lines.append(f"Location: {instance['location']}")
    if state.get("pid"):
        lines.append(f"PID: {state['pid']}")
    for title, key in (("Created", "created_at"), ("Last Used", "last_used_at")):
        if units.is_set(instance.get(key)):
            lines.append(f"{title}: {units.time(instance[key])}")
    if state.get("pid"):
        lines += ["", "Resources:", *_resources(state)]
    report = "\n".join(lines) + "\n"
    snapshots, backups = as_list(instance.get("snapshots")), as_list(instance.get("backups"))
    if snapshots:
        report += "\nSnapshots:\n" + _snapshots(snapshots)
    if backups:
        report += "\nBackups:\n" + _backups(backups)
    return report


def _resources(state: dict[str, Any]) -> list[str]:
    lines = [f"  Processes: {state.get('processes', 0)}"]
    disk = {name: usage["usage"] for name, usage in as_map(state.get("disk")).items() if usage.get("usage")}
    lines += _section("Disk usage", [f"{name}: {units.iec(int(size))}" for name, size in sorted(disk.items())])
    seconds = int(as_map(state.get("cpu")).get("usage", 0)) // 1_000_000_000
    lines += _section("CPU usage", [f"CPU usage (in seconds): {seconds}"])
    memory = as_map(state.get("memory"))
    titles = (
        ("Memory (current)", "usage"),
        ("Memory (peak)", "usage_peak"),
        ("Swap (current)", "swap_usage"),
        ("Swap (peak)", "swap_usage_peak"),
    )
    lines += _section("Memory usage", [f"{title}: {units.iec(int(memory[k]))}" for title, k in titles if memory.get(k)])
    network = as_map(state.get("network"))
    lines += _section("Network usage", [line for name, link in sorted(network.items()) for line in _link(name, link)])
    return lines


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"  {title}:", *(f"    {line}" for line in lines)] if lines else []


def _link(name: str, link: dict[str, Any]) -> list[str]:
    counters = as_map(link.get("counters"))
    fields = [
        ("Type", link.get("type")),
        ("State", str(link.get("state", "")).upper()),
        ("Host interface", link.get("host_name")),
        ("MAC address", link.get("hwaddr")),
        ("MTU", link.get("mtu")),
    ]
    lines = [f"{name}:"] + [f"  {title}: {value}" for title, value in fields if value]
    lines += [
        f"  Bytes received: {units.decimal(int(counters.get('bytes_received', 0)))}",
        f"  Bytes sent: {units.decimal(int(counters.get('bytes_sent', 0)))}",
        f"  Packets received: {counters.get('packets_received', 0)}",
        f"  Packets sent: {counters.get('packets_sent', 0)}",
        "  IP addresses:",
    ]
    for address in as_list(link.get("addresses")):
        lines.append(f"    {address['family'] + ':':<6} {address['address']}/{address['netmask']} ({address['scope']})")
    return lines


def _snapshots(snapshots: list[dict[str, Any]]) -> str:
    ordered = sorted(snapshots, key=lambda snapshot: str(snapshot.get("created_at")))
    rows = [
        [
            str(snapshot["name"]).rpartition("/")[2],
            units.time(snapshot.get("created_at")),
            units.time(snapshot.get("expires_at")),
            "YES" if snapshot.get("stateful") else "NO",
        ]
        for snapshot in ordered
    ]
    return formats.table(["NAME", "TAKEN AT", "EXPIRES AT", "STATEFUL"], rows)


def _backups(backups: list[dict[str, Any]]) -> str:
    rows = [
        [
            str(backup["name"]).rpartition("/")[2],
            units.time(backup.get("created_at")),
            units.time(backup.get("expires_at")),
            "YES" if backup.get("instance_only") or backup.get("container_only") else "NO",
            "YES" if backup.get("optimized_storage") else "NO",
        ]
        for backup in backups
    ]
    return formats.table(["NAME", "TAKEN AT", "EXPIRES AT", "INSTANCE ONLY", "OPTIMIZED STORAGE"], rows)
