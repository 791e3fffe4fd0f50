"""`lxc info --resources`: the hardware of the server."""

from __future__ import annotations

from lightervisor.cli import units
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]


def report(resources: Json) -> str:
    """The report, in LXD's layout."""
    parts = [_cpu(as_map(resources.get("cpu"))), _memory(as_map(resources.get("memory")))]
    parts.append(_cards("GPU", as_map(resources.get("gpu")).get("cards"), _gpu))
    parts.append(_cards("NIC", as_map(resources.get("network")).get("cards"), _nic))
    parts.append(_cards("Disk", as_map(resources.get("storage")).get("disks"), _disk))
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _yes(value: object) -> str:
    return "true" if value else "false"


def _cpu(cpu: Json) -> list[str]:
    sockets: list[Json] = as_list(cpu.get("sockets"))
    if len(sockets) == 1:
        return [f"CPU ({cpu.get('architecture', '')}):", *_indent(_socket(sockets[0]))]
    lines = [f"CPUs ({cpu.get('architecture', '')}):"]
    for socket in sockets:
        lines += [f"  Socket {socket.get('socket', 0)}:", *_indent(_indent(_socket(socket)))]
    return lines


def _socket(socket: Json) -> list[str]:
    lines = [f"{title}: {socket[key]}" for title, key in (("Vendor", "vendor"), ("Name", "name")) if socket.get(key)]
    if socket.get("cache"):
        lines.append("Caches:")
        for cache in socket["cache"]:
            lines.append(f"  - Level {cache['level']} (type: {cache['type']}): {units.iec(int(cache['size']), 0)}")
    lines.append("Cores:")
    for core in as_list(socket.get("cores")):
        lines += [f"  - Core {core['core']}", f"    Frequency: {core.get('frequency', 0)}Mhz", "    Threads:"]
        for thread in as_list(core.get("threads")):
            facts = f"id: {thread['id']}, online: {_yes(thread['online'])}, NUMA node: {thread.get('numa_node', 0)}"
            lines.append(f"      - {thread['thread']} ({facts})")
    return lines


def _memory(memory: Json) -> list[str]:
    total, used = int(memory.get("total", 0)), int(memory.get("used", 0))
    sizes = (("Free", total - used), ("Used", used), ("Total", total))
    return ["Memory:", *(f"  {title}: {units.iec(size)}" for title, size in sizes)]


def _cards(title: str, cards: list[Json] | None, describe: Callable[[Json], list[str]]) -> list[str]:
    if not cards:
        return []
    if len(cards) == 1:
        return [f"{title}:", *_indent(describe(cards[0]))]
    lines = [f"{title}s:"]
    for number, card in enumerate(cards):
        lines += [f"  {'Card' if title != 'Disk' else 'Disk'} {number}:", *_indent(_indent(describe(card)))]
    return lines


def _hardware(card: Json) -> list[str]:
    lines = [f"NUMA node: {card.get('numa_node', 0)}"]
    for title, name, identifier in (("Vendor", "vendor", "vendor_id"), ("Product", "product", "product_id")):
        if card.get(name):
            lines.append(f"{title}: {card[name]} ({card.get(identifier, '')})")
    if card.get("pci_address"):
        lines.append(f"PCI address: {card['pci_address']}")
    if card.get("driver"):
        lines.append(f"Driver: {card['driver']} ({card.get('driver_version', '')})")
    return lines


def _gpu(card: Json) -> list[str]:
    lines = _hardware(card)
    if card.get("drm"):
        lines += ["DRM:", f"  ID: {card['drm'].get('id', 0)}"]
    return lines


def _nic(card: Json) -> list[str]:
    lines = _hardware(card)
    ports: list[Json] = as_list(card.get("ports"))
    if ports:
        lines.append("Ports:")
    for port in ports:
        lines += [f"  - Port {port.get('port', 0)} ({port.get('protocol', '')})", f"    ID: {port.get('id', '')}"]
        if port.get("address"):
            lines.append(f"    Address: {port['address']}")
        for title, key in (("Port type", "port_type"), ("Transceiver type", "transceiver_type")):
            if port.get(key):
                lines.append(f"    {title}: {port[key]}")
        lines.append(f"    Auto negotiation: {_yes(port.get('auto_negotiation'))}")
        lines.append(f"    Link detected: {_yes(port.get('link_detected'))}")
    return lines


def _disk(disk: Json) -> list[str]:
    lines = [f"NUMA node: {disk.get('numa_node', 0)}", f"ID: {disk.get('id', '')}"]
    for title, key in (("Device", "device"), ("Model", "model"), ("Type", "type")):
        if disk.get(key):
            lines.append(f"{title}: {disk[key]}")
    lines.append(f"Size: {units.iec(int(disk.get('size', 0)))}")
    if disk.get("wwn"):
        lines.append(f"WWN: {disk['wwn']}")
    lines += [f"Read-Only: {_yes(disk.get('read_only'))}", f"Removable: {_yes(disk.get('removable'))}"]
    partitions: list[Json] = as_list(disk.get("partitions"))
    if partitions:
        lines.append("Partitions:")
    for part in partitions:
        lines += [
            f"  - Partition {part.get('partition', 0)}",
            f"    ID: {part.get('id', '')}",
            f"    Device: {part.get('device', '')}",
            f"    Read-Only: {_yes(part.get('read_only'))}",
            f"    Size: {units.iec(int(part.get('size', 0)))}",
        ]
    return lines


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
