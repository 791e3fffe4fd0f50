"""Where a pool is that lives in a directory: its own, or another one of the host."""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.errors import Invalid


def completed(root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a new pool with its source. Raises Invalid with LXD's texts."""
    if source := wanted.get("source", ""):
        _check(Path(source), root)
        return {**wanted, "volatile.initial_source": source}
    return {"source": str(root), **wanted}


def _check(path: Path, root: Path) -> None:
    if path == root:
        return
    complaint = ""
    if not path.is_absolute() or not path.is_dir():
        complaint = f"Source path '{path}' doesn't exist"
    elif path.resolve().is_relative_to(root.parent.parent.resolve()):
        complaint = f"Source path '{path}' is within the LXD directory"
    elif any(path.iterdir()):
        complaint = f"Source path '{path}' isn't empty"
    if complaint:
        raise Invalid("storage pool", root.name, text=complaint, remedy="give an empty directory of the host")
