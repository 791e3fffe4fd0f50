"""Kernel modules, loaded by the host's own program."""

from collections.abc import Iterable
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
