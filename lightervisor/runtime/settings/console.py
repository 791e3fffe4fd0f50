"""The logs of liblxc and of the console, and terminals."""

from lightervisor.runtime import console_log
from lightervisor.runtime.spec import ContainerSpec, Lines


def lines(spec: ContainerSpec) -> Lines:
    """The lines, from what LXD writes for the same container."""
    return [
        ("lxc.log.file", str(spec.log_dir / "lxc.log")),
        ("lxc.log.level", "warn"),
        *console_log.lines(spec.log_dir),
        ("lxc.tty.max", "0"),
        ("lxc.pty.max", "1024"),
    ]
