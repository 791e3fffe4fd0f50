"""Metrics as text that Prometheus reads, with LXD's names. Source: LXD 5.0.2, GET /1.0/metrics; OpenMetrics 1.0."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct, field

_LARGEST_PLAIN = 1_000_000
FAMILIES: dict[str, tuple[str, str]] = {
    "lxd_cpu_seconds_total": ("counter", "The total number of CPU time used in seconds."),
    "lxd_disk_read_bytes_total": ("counter", "The total number of bytes read."),
    "lxd_disk_reads_completed_total": ("counter", "The total number of completed reads."),
    "lxd_disk_written_bytes_total": ("counter", "The total number of bytes written."),
    "lxd_disk_writes_completed_total": ("counter", "The total number of completed writes."),
    "lxd_filesystem_avail_bytes": ("gauge", "The number of available space in bytes."),
    "lxd_filesystem_free_bytes": ("gauge", "The number of free space in bytes."),
    "lxd_filesystem_size_bytes": ("gauge", "The size of the filesystem in bytes."),
    "lxd_memory_Active_anon_bytes": ("gauge", "The amount of anonymous memory on active LRU list."),
    "lxd_memory_Active_file_bytes": ("gauge", "The amount of file-backed memory on active LRU list."),
    "lxd_memory_Active_bytes": ("gauge", "The amount of memory on active LRU list."),
    "lxd_memory_Cached_bytes": ("gauge", "The amount of cached memory."),
    "lxd_memory_Dirty_bytes": ("gauge", "The amount of memory waiting to get written back to the disk."),
    "lxd_memory_HugepagesFree_bytes": ("gauge", "The amount of free memory for hugetlb."),
    "lxd_memory_HugepagesTotal_bytes": ("gauge", "The amount of used memory for hugetlb."),
    "lxd_memory_Inactive_anon_bytes": ("gauge", "The amount of file-backed memory on inactive LRU list."),
    "lxd_memory_Inactive_file_bytes": ("gauge", "The amount of file-backed memory on inactive LRU list."),
    "lxd_memory_Inactive_bytes": ("gauge", "The amount of memory on inactive LRU list."),
    "lxd_memory_Mapped_bytes": ("gauge", "The amount of mapped memory."),
    "lxd_memory_MemAvailable_bytes": ("gauge", "The amount of available memory."),
    "lxd_memory_MemFree_bytes": ("gauge", "The amount of free memory."),
    "lxd_memory_MemTotal_bytes": ("gauge", "The amount of used memory."),
    "lxd_memory_RSS_bytes": ("gauge", "The amount of anonymous and swap cache memory."),
    "lxd_memory_Shmem_bytes": ("gauge", "The amount of cached filesystem data that is swap-backed."),
    "lxd_memory_Swap_bytes": ("gauge", "The amount of used swap memory."),
    "lxd_memory_Unevictable_bytes": ("gauge", "The amount of unevictable memory."),
    "lxd_memory_Writeback_bytes": ("gauge", "The amount of memory queued for syncing to disk."),
    "lxd_network_receive_bytes_total": ("counter", "The amount of received bytes on a given interface."),
    "lxd_network_receive_drop_total": ("counter", "The amount of received dropped bytes on a given interface."),
    "lxd_network_receive_errs_total": ("counter", "The amount of received errors on a given interface."),
    "lxd_network_receive_packets_total": ("counter", "The amount of received packets on a given interface."),
    "lxd_network_transmit_bytes_total": ("counter", "The amount of transmitted bytes on a given interface."),
    "lxd_network_transmit_drop_total": ("counter", "The amount of transmitted dropped bytes on a given interface."),
    "lxd_network_transmit_errs_total": ("counter", "The amount of transmitted errors on a given interface."),
    "lxd_network_transmit_packets_total": ("counter", "The amount of transmitted packets on a given interface."),
    "lxd_procs_total": ("gauge", "The number of running processes."),
    # Of later versions of LXD, and what every program that Prometheus asks should tell of itself.
    "lxd_instances": ("gauge", "The number of instances."),
    "lxd_operations_total": ("gauge", "The number of running operations."),
    "lxd_uptime_seconds": ("gauge", "The daemon uptime in seconds."),
    "lxd_warnings_total": ("gauge", "The number of active warnings."),
    "process_cpu_seconds_total": ("counter", "Total user and system CPU time spent in seconds."),
    "process_open_fds": ("gauge", "Number of open file descriptors."),
    "process_resident_memory_bytes": ("gauge", "Resident memory size in bytes."),
    "process_virtual_memory_bytes": ("gauge", "Virtual memory size in bytes."),
}
"""Type and help of each family, in the order in which they are told."""


class Samples(Struct, frozen=True):
    """Samples by family: labels as they are written, and a value."""

    by_family: dict[str, list[tuple[str, float]]] = field(default_factory=dict[str, list[tuple[str, float]]])

    def add(self, family: str, labels: str, value: float) -> None:
        """One sample of a known family; `labels` is what `labels` makes."""
        self.by_family.setdefault(family, []).append((labels, value))

    def text(self) -> str:
        """All that can be told, families without samples left out."""
        lines: list[str] = []
        for family, (kind, explanation) in FAMILIES.items():
            if found := self.by_family.get(family):
                lines += [f"# HELP {family} {explanation}", f"# TYPE {family} {kind}"]
                lines += [f"{family}{labels} {number(value)}" for labels, value in found]
        return "\n".join([*lines, "# EOF", ""])


def merged(parts: Iterable[Samples]) -> Samples:
    """The samples of all parts."""
    whole = Samples()
    for part in parts:
        for family, samples in part.by_family.items():
            whole.by_family.setdefault(family, []).extend(samples)
    return whole


def labels(values: Mapping[str, str]) -> str:
    """Labels in braces, sorted by name, as the format quotes them."""
    if not values:
        return ""
    pairs = (f'{name}="{_quoted(values[name])}"' for name in sorted(values))
    return "{" + ",".join(pairs) + "}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """A number as Go's %g writes it: exact, with an exponent from a million on. Source: Go, strconv."""
    if isinstance(value, int) and -_LARGEST_PLAIN < value < _LARGEST_PLAIN:
        return str(value)
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    if not isinstance(exponent, int):
        return repr(value)
    place = len(digits) - 1 + exponent
    if value == 0 or -4 <= place < 6:
        return (
            repr(float(value)).removesuffix(".0") if abs(value) >= 0.0001 or value == 0 else str(Decimal(repr(value)))
        )
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if place < 0 else '+'}{abs(place):02d}"
