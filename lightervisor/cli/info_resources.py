"""`lxc info --resources`: the hardware of the server."""

from __future__ import annotations

from lightervisor.cli import units
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

_NVIDIA = (
    ("Architecture", "architecture"),
    ("Brand", "brand"),
    ("Model", "model"),
    ("CUDA Version", "cuda_version"),
    ("NVRM Version", "nvrm_version"),
    ("UUID", "uuid"),
)


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
    if socket.get("frequency"):
        lines.append(f"Frequency: {socket['frequency']}Mhz{_range(socket)}")
    return lines


def _range(socket: Json) -> str:
    least, most = socket.get("frequency_minimum"), socket.get("frequency_turbo")
    return f" (min: {least}Mhz, max: {most}Mhz)" if least and most else ""


def _memory(memory: Json) -> list[str]:
    lines = _huge_pages(memory)
    nodes: list[Json] = as_list(memory.get("nodes"))
    if len(nodes) > 1:
        lines.append("NUMA nodes:")
        for node in nodes:
            inner = [*_huge_pages(node), *_sizes(node.get("total"), node.get("used"))]
            lines += [f"  Node {node.get('numa_node', 0)}:", *_indent(_indent(inner))]
    return ["Memory:", *_indent([*lines, *_sizes(memory.get("total"), memory.get("used"))])]


def _huge_pages(memory: Json) -> list[str]:
    if not memory.get("hugepages_total"):
        return []
    return ["Hugepages:", *_indent(_sizes(memory["hugepages_total"], memory.get("hugepages_used")))]


def _sizes(total: int | None, used: int | None) -> list[str]:
    all_bytes, used_bytes = int(total or 0), int(used or 0)
    sizes = (("Free", all_bytes - used_bytes), ("Used", used_bytes), ("Total", all_bytes))
    return [f"{title}: {units.iec(size)}" for title, size in sizes]


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
    drm, nvidia = as_map(card.get("drm")), as_map(card.get("nvidia"))
    if drm:
        lines += ["DRM:", f"  ID: {drm.get('id', 0)}"]
        lines += _indent(_devices(drm, (("Card", "card"), ("Control", "control"), ("Render", "render"))))
    if nvidia:
        lines += ["NVIDIA information:", *(f"  {title}: {nvidia.get(key, '')}" for title, key in _NVIDIA)]
    lines += _virtual(card, _gpu)
    mediated = as_map(card.get("mdev"))
    if mediated:
        lines.append("Mdev profiles:")
    for name in sorted(mediated):
        lines.append(f"  - {name} ({mediated[name].get('available', 0)} available)")
        lines += [f"      {line}" for line in str(mediated[name].get("description", "")).split("\n") if line]
    return lines


def _nic(card: Json) -> list[str]:
    lines = _hardware(card)
    ports: list[Json] = as_list(card.get("ports"))
    if ports:
        lines.append("Ports:")
    for port in ports:
        lines += [f"  - Port {port.get('port', 0)} ({port.get('protocol', '')})", *_indent(_indent(_port(port)))]
    return lines + _virtual(card, _nic)


def _port(port: Json) -> list[str]:
    lines = [f"ID: {port.get('id', '')}"]
    if port.get("address"):
        lines.append(f"Address: {port['address']}")
    for title, key in (("Supported modes", "supported_modes"), ("Supported ports", "supported_ports")):
        if port.get(key):
            lines.append(f"{title}: {', '.join(port[key])}")
    for title, key in (("Port type", "port_type"), ("Transceiver type", "transceiver_type")):
        if port.get(key):
            lines.append(f"{title}: {port[key]}")
    lines.append(f"Auto negotiation: {_yes(port.get('auto_negotiation'))}")
    lines.append(f"Link detected: {_yes(port.get('link_detected'))}")
    if port.get("link_speed"):
        lines.append(f"Link speed: {port['link_speed']}Mbit/s ({port.get('link_duplex', '')} duplex)")
    if port.get("infiniband"):
        found = _devices(port["infiniband"], (("IsSM", "issm"), ("MAD", "mad"), ("Verb", "verb")))
        lines += ["Infiniband:", *_indent(found)]
    return lines


def _devices(owner: Json, kinds: tuple[tuple[str, str], ...]) -> list[str]:
    """`card1 (226:1)` for each kind of device node there is."""
    return [
        f"{title}: {owner[key + '_name']} ({owner.get(key + '_device', '')})"
        for title, key in kinds
        if owner.get(f"{key}_name")
    ]


def _virtual(card: Json, describe: Callable[[Json], list[str]]) -> list[str]:
    """The card's virtual functions, each described as a card."""
    sriov: Json = as_map(card.get("sriov"))
    if not sriov:
        return []
    most = sriov.get("maximum_vfs", 0)
    lines = [f"  Current number of VFs: {sriov.get('current_vfs', 0)}", f"  Maximum number of VFs: {most}"]
    functions: list[Json] = as_list(sriov.get("vfs"))
    if functions:
        lines.append(f"  VFs: {most}")  # so LXD's client
    for function in functions:
        first, *more = describe(function)
        lines += [f"  - {first}", *_indent(_indent(more))]
    return ["SR-IOV information:", *lines]


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
