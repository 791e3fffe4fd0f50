"""Kernel modules: loaded by the host's own program, unless the kernel has them built in."""

import gzip
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightervisor.errors import Failure
from lightervisor.kernel import process

CONFIGURATION = Path("/proc/config.gz")
LIBRARY = Path("/lib/modules")


def load(names: Iterable[str]) -> None:
    """Load the modules that are not there yet; blocking. Raises Failure with LXD's text."""
    for name in names:
        if Path("/sys/module", name.replace("-", "_")).exists() or is_built_in(name):
            continue
        try:
            process.run(["modprobe", "--", name])
        except Failure as error:
            text = f"Failed to load kernel module '{name}': {error.cause}"
            raise Failure("kernel module", name, text=text) from error


def is_built_in(name: str, *, library: Path = LIBRARY, configuration: Path = CONFIGURATION) -> bool:
    """Whether the kernel has a module inside, which /sys/module does not show when it has no parameters.

    Where a kernel came without its list of those, its configuration tells of options that are called as their module.
    """
    wanted = name.replace("-", "_")
    try:
        listed = (library / os.uname().release / "modules.builtin").read_text()
    except OSError:
        return _is_configured(wanted, configuration)
    return any(Path(line).stem.replace("-", "_") == wanted for line in listed.splitlines())


def has_file_system(name: str, *, library: Path = LIBRARY) -> bool:
    """Whether the kernel has a file system, or a module for it, which it loads by itself at the first mount."""
    if name in Path("/proc/filesystems").read_text().split():
        return True
    try:
        listed = (library / os.uname().release / "modules.dep").read_text()
    except OSError:
        return False
    return f"/{name}.ko" in listed


def _is_configured(name: str, configuration: Path) -> bool:
    try:
        options = gzip.decompress(configuration.read_bytes()).decode(errors="replace").splitlines()
    except (OSError, EOFError):
        return False
    return f"CONFIG_{name.upper()}=y" in options


def wanted(config: Mapping[str, str], *, besides: Mapping[str, str] | None = None) -> list[str]:
    """The modules that linux.kernel_modules names, without those that another configuration names already."""
    known = wanted(besides) if besides else []
    names = [name.strip() for name in config.get("linux.kernel_modules", "").split(",")]
    return [name for name in names if name and name not in known]
