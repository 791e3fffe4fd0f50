"""The logs of liblxc and of the console, and terminals."""

from lightervisor.config.types import is_true
from lightervisor.runtime import console_log
from lightervisor.runtime.spec import ContainerSpec, Lines


def lines(spec: ContainerSpec) -> Lines:
    """The lines, from what LXD writes for the same container.

    With `migration.stateful` there is no console: criu cannot keep one that is the terminal of a process.
    """
    has_console = not is_true(spec.config.get("migration.stateful"))
    return [
        ("lxc.log.file", str(spec.log_dir / "lxc.log")),
        ("lxc.log.level", "warn"),
        *(console_log.lines(spec.log_dir) if has_console else [("lxc.console.path", "none")]),
        ("lxc.tty.max", "0"),
        ("lxc.pty.max", "1024"),
    ]
