"""Kernel modules, loaded by the host's own program."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from lightervisor.errors import Failure
from lightervisor.kernel import process


def load(names: Iterable[str]) -> None:
    """Load the modules that are not there yet; blocking. Raises Failure with LXD's text."""
    for name in names:
        if Path("/sys/module", name.replace("-", "_")).exists():
            continue
        try:
            process.run(["modprobe", "--", name])
        except Failure as error:
            text = f"Failed to load kernel module '{name}': {error.cause}"
            raise Failure("kernel module", name, text=text) from error


def wanted(config: Mapping[str, str], *, besides: Mapping[str, str] | None = None) -> list[str]:
    """The modules that linux.kernel_modules names, without those that another configuration names already."""
    known = wanted(besides) if besides else []
    names = [name.strip() for name in config.get("linux.kernel_modules", "").split(",")]
    return [name for name in names if name and name not in known]
