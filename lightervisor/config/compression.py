"""How what this server makes is packed: a word of a list, never a command. Source: LXD, compression_algorithm.

LXD takes any command line there, which has run programs as root (CVE-2026-28384, CVE-2026-48755).
"""

from lightervisor.config.types import matching

ALGORITHMS = ("none", "bzip2", "gzip", "lz4", "lzma", "squashfs", "xz", "zstd")
_NAMES = ", ".join(ALGORITHMS)
_LEVELLED = "|".join(name for name in ALGORITHMS if name not in ("none", "squashfs"))
Algorithm = matching(
    "compression",
    rf"none|squashfs|({_LEVELLED})( -[0-9]{{1,2}})?",
    f'Invalid compression algorithm "{{value}}" (one of {_NAMES}, with a level as `gzip -9` has one)',
)
