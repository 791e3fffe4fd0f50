"""The small files of sysfs and procfs: one value each, and none when the kernel does not tell."""

from pathlib import Path
from typing import Any

Node = dict[str, Any]
SYS, PROC = Path("/sys"), Path("/proc")


def text(path: Path, default: str = "") -> str:
    """The content of a small file without its line end; the default when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip().strip("\0")
    except OSError:
        return default


def number(path: Path, default: int = 0, *, base: int = 10) -> int:
    """The number in a small file; the default when there is none."""
    try:
        return int(text(path), base)
    except ValueError:
        return default


def entries(path: Path) -> list[Path]:
    """What a directory holds, by name; nothing when it cannot be read."""
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def known(**fields: object) -> Node:
    """Fields that are optional in the API: those without a value are left out."""
    return {name: value for name, value in fields.items() if value not in ("", None)}


def link_name(path: Path) -> str:
    """The last part of where a symbolic link leads; nothing when there is none."""
    try:
        return path.readlink().name
    except OSError:
        return ""
