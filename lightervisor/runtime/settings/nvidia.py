"""nvidia.*: the host's NVIDIA libraries and devices, brought in by liblxc's hook. Source: LXD; lxc's hook nvidia."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.errors import Invalid
from lightervisor.runtime.spec import Lines

HOOK = Path("/usr/share/lxc/hooks/nvidia")
PROGRAM = "nvidia-container-cli"
VARIABLES = {
    "NVIDIA_DRIVER_CAPABILITIES": ("nvidia.driver.capabilities", "compute,utility"),
    "NVIDIA_REQUIRE_CUDA": ("nvidia.require.cuda", ""),
    "NVIDIA_REQUIRE_DRIVER": ("nvidia.require.driver", ""),
}


def check(config: Mapping[str, str]) -> None:
    """Raise Invalid with LXD's texts when the runtime is asked for and cannot be given."""
    if not is_true(config.get("nvidia.runtime")):
        return
    check_privileges(config)
    if shutil.which(PROGRAM) is None:
        text = "The NVIDIA container tools couldn't be found"
        raise Invalid("config", text=text, remedy="install nvidia-container-toolkit")
    if not HOOK.exists():
        raise Invalid("config", text="The NVIDIA LXC hook couldn't be found", remedy=f"install it as {HOOK}")


def check_privileges(config: Mapping[str, str]) -> None:
    """Raise Invalid with LXD's text when a privileged container, or a profile for such, asks for the runtime."""
    if is_true(config.get("nvidia.runtime")) and is_true(config.get("security.privileged")):
        raise Invalid("config", text="nvidia.runtime is incompatible with privileged containers")


def lines(config: Mapping[str, str]) -> Lines:
    """The hook and what it reads; devices are added as gpu devices, so it shall add none. Raises Invalid."""
    check(config)
    if not is_true(config.get("nvidia.runtime")):
        return []
    found: Lines = [("lxc.environment", "NVIDIA_VISIBLE_DEVICES=none")]
    for variable, (key, usual) in VARIABLES.items():
        if value := config.get(key) or usual:
            found.append(("lxc.environment", f"{variable}={value}"))
    return [*found, ("lxc.hook.mount", str(HOOK))]
