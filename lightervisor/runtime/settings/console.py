"""The log of liblxc, the console with its ring buffer, and terminals."""

from lightervisor.runtime.spec import ContainerSpec, Lines


def lines(spec: ContainerSpec) -> Lines:
    """The lines, from what LXD writes for the same container. `auto` is a buffer of 128 KiB."""
    return [
        ("lxc.log.file", str(spec.log_dir / "lxc.log")),
        ("lxc.log.level", "warn"),
        ("lxc.console.buffer.size", "auto"),
        ("lxc.console.size", "auto"),
        ("lxc.console.logfile", str(spec.log_dir / "console.log")),
        ("lxc.tty.max", "0"),
        ("lxc.pty.max", "1024"),
    ]
