"""Device nodes that every container may make and open, as rules of the devices cgroup. Source: cgroup-v1/devices.rst.

Root that is not mapped can make any device node, and a file system that the host mounts for a container may hold them:
only these may be opened, and those of the container's own devices.
"""

MAKE = ("b *:* m", "c *:* m")
OPEN = (
    "c 136:* rwm", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm",
    "c 5:2 rwm", "c 10:229 rwm", "c 10:200 rwm",
)  # fmt: skip
"""Terminals, null, zero, full, random and their like; the last two: fuse and tun."""


def rule(letter: str, major: int, minor: int | str) -> str:
    """All rights to devices of these numbers, "c" or "b"."""
    return f"{letter} {major}:{minor} rwm"


def is_open(letter: str, major: int, minor: int) -> bool:
    """Whether every container may open such a device."""
    return rule(letter, major, minor) in OPEN or rule(letter, major, "*") in OPEN
